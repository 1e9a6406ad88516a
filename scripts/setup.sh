# Sourced by the scripts beside it: makes a virtual environment inside the checkout ready, and nothing outside of it.
#
#   setup_python EXTRAS    .venv with this project and the given extras (comma-separated); quick when nothing has changed
#   setup_libraries        the system libraries that Blender's module needs; as root they are installed, else named
#
# PYTHON names the interpreter for a new environment (default: python3.11, which Blender's module needs, else python3).

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$top/.venv
me=scripts/$(basename "$0")

# soname of a library and the Debian package that holds it
blender_libraries="
libX11.so.6:libx11-6 libXrender.so.1:libxrender1 libXfixes.so.3:libxfixes3 libXi.so.6:libxi6
libxkbcommon.so.0:libxkbcommon0 libSM.so.6:libsm6 libICE.so.6:libice6 libGL.so.1:libgl1"

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }

# install_packages PACKAGE...: as root on Debian and its kin; else prints the line to type and ends.
install_packages() {
  local line="apt-get install -y --no-install-recommends $*"
  command -v apt-get >/dev/null 2>&1 || die "these are missing (Debian's names): $*"
  [ "$(id -u)" -eq 0 ] || die "system packages are missing; please run: sudo $line"
  say "$line"
  DEBIAN_FRONTEND=noninteractive $line >/dev/null 2>&1 && return
  apt-get update -q >/dev/null || die "apt-get update failed"
  DEBIAN_FRONTEND=noninteractive $line >/dev/null || die "this failed: $line"
}

setup_libraries() {
  local known pair missing=""
  known=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null) || return 0 # no ldconfig: not a system that we know
  for pair in $blender_libraries; do
    case $known in *"${pair%%:*}"*) ;; *) missing="$missing ${pair##*:}" ;; esac
  done
  # shellcheck disable=SC2086  # a list of words
  [ -z "$missing" ] || install_packages $missing
}

find_python() {
  local name
  for name in ${PYTHON:-python3.11 python3 python3.13 python3.12}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  die "Python 3.11 or newer is needed and was not found; on Debian 12: apt-get install -y python3 python3-venv (or set PYTHON)"
}

make_venv() {
  local python
  python=$(find_python) || exit 1
  "$python" -c 'import ensurepip, venv' 2>/dev/null \
    || die "$python cannot make virtual environments; on Debian: apt-get install -y python3-venv"
  say "making .venv with $python"
  "$python" -m venv "$venv" || die "could not make $venv"
}

setup_python() {
  local extras=$1 stamp wanted
  mkdir -p "$venv"
  exec 9>"$venv/.setup.lock" # two scripts at once: the second waits and finds everything done
  ! command -v flock >/dev/null 2>&1 || flock 9
  "$venv/bin/python" -c 'import pip' 2>/dev/null || make_venv
  stamp=$venv/.setup-$(printf %s "$extras" | tr -c 'a-z\n' -)
  wanted=$("$venv/bin/python" -c 'import hashlib, sys
print(sys.version_info[:2], hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$top/pyproject.toml")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing into .venv (the first time some minutes: Blender's module alone is 375 MB)"
    "$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check -e "$top[$extras]" \
      || die "pip could not install the project; its messages stand above"
    printf '%s\n' "$wanted" >"$stamp"
  fi
  exec 9>&-
  export PATH="$venv/bin:$PATH"
}
