# What scripts/run and scripts/test share. Sourced by bash.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

build_packages="gcc libc6-dev meson ninja-build pkg-config libevent-dev libssl-dev liblmdb-dev libbsd-dev
    libxxhash-dev libseccomp-dev libpcre2-dev libidn2-dev libunbound-dev libjansson-dev libgsasl-dev libcrypt-dev"

# need PACKAGE...: installs what is missing. An ordinary user is told what to ask for.
need() {
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" -eq 0 ] || die "missing packages, to be installed by root: ${missing[*]}"
    say "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 || true
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || die "apt-get could not install: ${missing[*]}"
}

# make_build DIR [MESON OPTION...]: sets up where that has not been done, and builds all, or the targets in $make_targets.
make_build() {
    local dir=$1 log
    shift
    if [ ! -f "$dir/build.ninja" ]; then
        log=$(meson setup "$dir" "$top" "$@" 2>&1) || { say "$log"; die "meson setup failed"; }
    fi
    # shellcheck disable=SC2086
    log=$(ninja -C "$dir" ${make_targets-} 2>&1) || { say "$log"; die "the build failed"; }
}

# make_users: the accounts of conf/kingpost.sysusers, where root runs the suite.
make_users() {
    local kind name
    while read -r kind name _; do
        case $kind in
        g) getent group "$name" >/dev/null || groupadd --system "$name" ;;
        u)
            getent passwd "$name" >/dev/null && continue
            if getent group "$name" >/dev/null; then
                useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --gid "$name" "$name"
            else
                useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --user-group "$name"
            fi
            ;;
        esac
    done <"$top/conf/kingpost.sysusers"
}
