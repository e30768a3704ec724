"""Cases with known truth: planted lesions, digital limbs, DICOM folders.

See ``docs/methods/simulate.md``. On arrays: :func:`plant`; whole cases: :func:`write_case`.
"""

from hoimg.simulate.case import write_case
from hoimg.simulate.exam import scan_exam
from hoimg.simulate.limb import Limb, make_limb
from hoimg.simulate.places import Site, find_place, native_bone_mask, prepare
from hoimg.simulate.plans import CasePlan, ExamPlan, LesionPlan
from hoimg.simulate.plant import LesionModel, Planted, PlantSpec, Truth, build_lesion, plant
from hoimg.simulate.pose import Bend, Joint, Pose, Rig
from hoimg.simulate.scenarios import plan_case

__all__ = [
    "Bend",
    "CasePlan",
    "ExamPlan",
    "Joint",
    "LesionModel",
    "LesionPlan",
    "Limb",
    "PlantSpec",
    "Planted",
    "Pose",
    "Rig",
    "Site",
    "Truth",
    "build_lesion",
    "find_place",
    "make_limb",
    "native_bone_mask",
    "plan_case",
    "plant",
    "prepare",
    "scan_exam",
    "write_case",
]
