#!/usr/bin/env bash
# Builds what a release consists of into a folder: archives, packages, a list of what is in the
# program, and checksums. The same source, version and Go make the same bytes, wherever and whenever.
#   deploy/packages/release.sh VERSION FOLDER [OS/ARCHITECTURE …]
# NFPM names the program nfpm, which makes the packages. Needs GNU tar and touch.
set -euo pipefail
version=$1 out=$(realpath -m "$2")
shift 2
platforms=("$@")
[ $# -gt 0 ] || platforms=(linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+~.][0-9A-Za-z.+~-]+)?$ ]] || { echo "release.sh: $version is not a version as 1.2.3" >&2; exit 2; }
[ ! -e "$out" ] || { echo "release.sh: $out is there already" >&2; exit 2; }

# All times are that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH VERSION=$version CGO_ENABLED=0 GOFLAGS= TZ=UTC LC_ALL=C
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/completions"

build() { # OS ARCHITECTURE FILE
	GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=false -ldflags "-s -w -X coldstream/internal/program.version=$version" -o "$3" ./cmd/coldstream
}

build "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)" "$work/host"
for shell in bash zsh fish; do
	"$work/host" completion "$shell" >"$work/completions/coldstream.$shell"
done

for platform in "${platforms[@]}"; do
	os=${platform%/*} arch=${platform#*/}
	name=coldstream_${version}_${os}_$arch
	stage=$work/$name program=coldstream
	if [ "$os" = windows ]; then program=coldstream.exe; fi
	mkdir -p "$stage/deploy"
	if [ "$platform" = "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" ]; then cp "$work/host" "$stage/$program"; else build "$os" "$arch" "$stage/$program"; fi
	cp -R LICENSE README.md docs "$work/completions" "$stage"
	cp -R deploy/cron deploy/grafana deploy/helm deploy/policies deploy/prometheus deploy/systemd "$stage/deploy"
	chmod -R u=rwX,go=rX "$stage"
	find "$stage" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
	tar -C "$work" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
	go run ./deploy/packages/sbom "$stage/$program" "$version" >"$out/$name.cdx.json"
	if [ "$os" = linux ]; then
		for packager in deb rpm; do
			STAGE=$stage ARCH=$arch "${NFPM:-nfpm}" package --config deploy/packages/nfpm.yaml --packager "$packager" --target "$out/$name.$packager" >/dev/null
		done
	fi
done
cd "$out"
sha256sum -- * >SHA256SUMS
