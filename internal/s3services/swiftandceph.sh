#!/usr/bin/env bash
# Runs the suite of storetest and a doctor on S3 servers that take too long for
# every run of the tests: swiftandceph.sh SERVICE [FLAG...], as root on Debian, where
# SERVICE is swift or ceph. It installs the service, starts it in a folder of its
# own, ends it with the tests, and hands the flags to go test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly host=127.0.0.1
declare -a started=() # process ids

[[ ${1-} == swift || ${1-} == ceph ]] || {
	printf 'swiftandceph.sh: swift or ceph?\n' >&2
	exit 2
}
source "internal/s3services/$1.sh"
shift

install() {
	type -P "$program" >/dev/null && return
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $packages
}

# run PROGRAM ARGUMENT...: in the background, until the end.
run() {
	"$@" >"$folder/${1##*/}.out" 2>&1 &
	started+=($!)
}

# ready returns when the service answers, whatever it is.
ready() {
	for ((i = 0; i < 300; i++)); do
		curl -s -o /dev/null "http://$host:$port/" && return
		sleep 0.2
	done
	tail -n 20 "$folder"/*.out >&2
	return 1
}

stop() {
	((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
	wait
	rm -rf --one-file-system "$folder"
}

if curl -s -o /dev/null "http://$host:$port/"; then
	printf 'swiftandceph.sh: another program listens on %s:%s\n' "$host" "$port" >&2
	exit 1
fi
folder=$(mktemp -d)
trap stop EXIT
install
start >/dev/null
ready
TUSD_TEST_S3=http://$host:$port TUSD_TEST_S3_REGION=us-east-1 \
	TUSD_TEST_S3_ACCESS_KEY=$access_key TUSD_TEST_S3_SECRET_KEY=$secret_key \
	go test -count=1 -timeout 30m -run 'GivenService' "$@" ./s3store ./cmd/tusd/cli
