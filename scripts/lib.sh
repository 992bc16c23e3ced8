# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts share; to be sourced.

QEMU=${PREHEAT_QEMU:-qemu-system-x86_64}

say() {
    printf '%s\n' "-- $*" >&2
}

die() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Make the build directory, unless there is one: configure DIR [OPTION...].
# meson tells its errors on standard output.
configure() {
    local directory=$1 said
    shift
    if [ ! -e "$directory/build.ninja" ]; then
        said=$(meson setup "$directory" "$@") || die "$said"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "$@" >&2
}

# mapped-ram came with QEMU 9.0.
qemu_is_new_enough() {
    local version
    version=$("$QEMU" --version 2>/dev/null |
        sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
    [ -n "$version" ] && [ "$version" -ge 9 ]
}
