# Sourced by quickstart.sh and tests/run.sh: Debian packages that Octet needs, installed when the script may.

OCTET_PACKAGES="g++ cmake ninja-build pkg-config ca-certificates libfmt-dev libeigen3-dev libstb-dev libcli11-dev
nlohmann-json3-dev libzip-dev libonnx-dev libprotobuf-dev protobuf-compiler"

# ensure_packages PACKAGE...: installs what is missing; without root, says what to install and fails.
ensure_packages() {
  local missing=()
  local package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing; as root: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
