#!/bin/sh
# Installs Debian packages that some tests need, if they are missing: as root at once, in CI with sudo, on a
# terminal after a question. Otherwise it says what to install and succeeds: those tests are then skipped.
#
#   tools/setup-packages.sh "The RTL cannot be built" "the tests of the RTL" "Verilator 5 and make" verilator make
set -u

trouble="$1" tests="$2" in_words="$3"
shift 3
packages="$*"
missing=""
for tool in $packages; do   # each package is named like its program
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0

by_hand="sudo apt-get install $packages"
say() { echo "$trouble:$missing missing. $1"; }

if ! command -v apt-get >/dev/null 2>&1; then
  say "Install $in_words; on Debian and Ubuntu: $by_hand"
  exit 0
fi

if [ "$(id -u)" = 0 ]; then
  as_root=""
elif ! command -v sudo >/dev/null 2>&1; then
  say "Ask an administrator for: apt-get install $packages"
  exit 0
elif [ -n "${CI:-}" ]; then
  as_root="sudo -n"
elif [ -t 0 ] && [ -t 1 ]; then
  say "Run $by_hand now? [y/N] "
  read -r answer
  case "$answer" in
    [yY]*) as_root="sudo" ;;
    *) say "Left out are $tests. To install later: $by_hand"; exit 0 ;;
  esac
else
  say "Left out are $tests. To install: $by_hand"
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
install="$as_root apt-get install -y --no-install-recommends $packages"
echo "Installing $packages ..."
$install >/dev/null 2>&1 && exit 0     # fails where the package lists are missing or old
$as_root apt-get update >/dev/null && $install >/dev/null && exit 0
say "The installation failed. By hand: $by_hand"
[ -z "${CI:-}" ]                        # in CI the tests must not be skipped
