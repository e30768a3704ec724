"""Films of a patient: each outlined and measured, its lesions followed over views and dates.

``analysis`` reads, outlines and measures one film; ``suggestions`` offers places to a reader;
``series`` compares a lesion over films, ``tie`` and ``follow`` say which regions are one lesion and
label it; ``hips`` grades; ``again`` measures a report's films anew.
"""
