#!/usr/bin/env bash
# Tries README's two commands as a stranger would: a fresh Debian 12 (debootstrap, minbase), a clean clone of the last
# commit, no ../shared, no CUDA. The mirror, proxies and certificates are this machine's.
#   tests/clean_root.sh            examples/quickstart.sh twice, then tests/run.sh
#   tests/clean_root.sh --quick    only the quick start
# Fails when the first quick start takes over 240 s, the second over 15 s, or when either does what it should not.
set -euo pipefail
cd "$(dirname "$0")/.."
first_limit=240
second_limit=15

if [ "$(id -u)" -ne 0 ]; then
  echo "clean_root: SKIPPED: debootstrap and chroot need root"
  exit 0
fi
fail() {
  echo "clean_root: $*" >&2
  exit 1
}

# apt's proxies for debootstrap, which goes through wget
eval "$(apt-config shell apt_http Acquire::http::Proxy apt_https Acquire::https::Proxy)"
[ -z "${apt_http:-}" ] || export http_proxy=$apt_http
[ -z "${apt_https:-}" ] || export https_proxy=$apt_https
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi

root=$(mktemp -d /var/tmp/octet-root-XXXXXX)
clean_up() {
  if mountpoint -q "$root/proc"; then umount "$root/proc" || umount -l "$root/proc"; fi
  rm -rf --one-file-system "$root" "$root.log"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The first mirror that apt is configured with, in either format.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -nE 's/^deb (\[[^]]*\] )?(https?:[^ ]*debian\/?) .*/\2/p' || true
  sed -nE 's/^URIs: (https?:[^ ]*debian\/?)( .*)?$/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null || true
}

# Host settings that decide whether downloads work: sources, proxies, certificates, names.
copy_settings() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    if [ -f "$file" ] && grep -q debian "$file" && ! grep -qE 'nodesource|google' "$file"; then cp "$file" "$root$file"; fi
  done
  [ ! -f "$root/etc/apt/sources.list.d/debian.sources" ] || [ -s /etc/apt/sources.list ] || rm -f "$root/etc/apt/sources.list"
  for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/* /etc/apt/auth.conf.d/*; do
    if [ -f "$file" ] && grep -qE '^Acquire|^machine' "$file"; then cp -p "$file" "$root$file"; fi
  done
  for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates/*.crt; do
    [ -f "$file" ] || continue
    mkdir -p "$root$(dirname "$file")"
    cp "$file" "$root$file"
  done
}

# in_root COMMAND...: in the new root and in the clone, with nothing of this environment but its proxies
in_root() {
  local settings=() name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || settings+=("$name=${!name}")
  done
  chroot "${user[@]}" "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "${settings[@]}" \
    sh -c 'cd /octet && exec "$@"' sh "$@"
}
user=()

# timed COMMAND...: leaves the wall time in $seconds
timed() {
  local start=${EPOCHREALTIME/[.,]/}
  "$@" || fail "failed: $*"
  seconds=$(((${EPOCHREALTIME/[.,]/} - start + 500000) / 1000000))
}

make_root() {
  debootstrap --variant=minbase bookworm "$root" "$(mirror | head -1)" >"$root.log" 2>&1 || { tail "$root.log" && false; }
}
echo "clean_root: a fresh Debian 12 in $root"
timed make_root
chmod 755 "$root"  # mktemp made it for root alone
echo "clean_root: debootstrap took $seconds s"
copy_settings
mount -t proc proc "$root/proc"
git -c safe.directory='*' clone -q --no-hardlinks . "$root/octet"
[ -z "$(git status --porcelain)" ] || echo "clean_root: note: the working tree has changes that the clone does not have"

# Without root it must say what to install, and install nothing.
user=(--userspec=nobody)
if message=$(in_root examples/quickstart.sh 2>&1); then fail "the quick start claims to work without its packages"; fi
grep -q "apt-get install .*cmake" <<<"$message" || fail "without root it does not say what to install: $message"
user=()

timed in_root examples/quickstart.sh
first=$seconds
touch "$root/marker"
timed in_root examples/quickstart.sh
second=$seconds
echo "clean_root: quick start: first $first s (limit $first_limit), second $second s (limit $second_limit);" \
  "load $(cut -d' ' -f1-3 /proc/loadavg) on $(nproc) processors"
touched=$(find "$root" -xdev -newer "$root/marker" ! -path "$root/octet/*" ! -path "$root/proc*" ! -type d ! -path "$root/marker")
[ -z "$touched" ] || fail "the second quick start touched $touched"
[ -z "$(git -c safe.directory='*' -C "$root/octet" status --porcelain)" ] || fail "the quick start leaves files that git sees"
[ "$first" -le $first_limit ] || fail "the first quick start took $first s"
[ "$second" -le $second_limit ] || fail "the second quick start took $second s"
[ "${1:-}" = --quick ] && exit 0

timed in_root tests/run.sh
echo "clean_root: tests/run.sh took $seconds s"
