#!/bin/sh
# Install the Debian packages that the tests need, or say which are missing.
#
#   scripts/system-packages.sh COMMAND=PACKAGE...
#
# A package is wanted when COMMAND is not on the PATH (with slashes: when no such file is there). As
# root, or where sudo asks for no password, missing ones are installed; elsewhere they are named,
# and the tests that need them say so themselves. HOIMG_NO_SKIP=1 makes a missing package an error.
set -eu

missing=""
for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || [ -e "${pair%%=*}" ] || missing="$missing ${pair#*=}"
done
[ -z "$missing" ] && exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        as_root="none"
    fi
fi

if [ "$as_root" != none ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    # shellcheck disable=SC2086  # the list is meant to be split into words
    $as_root apt-get install -y -qq --no-install-recommends $missing
else
    echo "missing system packages:$missing (install them, or run this as root)" >&2
    [ "${HOIMG_NO_SKIP:-0}" = 1 ] && exit 1
fi
exit 0
