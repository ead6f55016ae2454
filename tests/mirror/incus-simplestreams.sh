#!/bin/sh
# Unpacks the program `incus-simplestreams` of Debian's package incus-extra below the directory $1, unless it is there.
# Releases before trixie have the package among their backports: those are looked up where this machine's APT finds the
# release itself, in lists of their own. Nothing of this machine's configuration is changed.
set -eu
dir=$1
[ ! -x "$dir/usr/bin/incus-simplestreams" ] || exit 0
mkdir -p "$dir/lists" "$dir/cache"
cd "$dir"
if ! apt-get download -q incus-extra; then
	. /etc/os-release
	site=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk -v release="$VERSION_CODENAME" '$2 == release { print $1; exit }')
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $VERSION_CODENAME-backports main" >sources.list
	set -- -q -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache"
	apt-get "$@" update
	apt-get "$@" download incus-extra
fi
dpkg -x incus-extra_*.deb .
rm -rf incus-extra_*.deb lists cache sources.list
