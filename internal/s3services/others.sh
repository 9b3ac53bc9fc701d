#!/usr/bin/env bash
# Runs the suite of storetest and a doctor on S3 servers that are too much for every
# run of the tests: others.sh, as root on Debian, installs and starts OpenStack Swift
# with its S3 layer in a folder of its own, and ends it with the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly host=127.0.0.1
readonly proxy=18080 memcached=18081 object=18082 container=18083 account=18084
declare -a started=() # process ids

install() {
	type -P swift-proxy-server >/dev/null && type -P memcached >/dev/null && return
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y \
		swift-proxy swift-account swift-container swift-object memcached
}

stop() {
	((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
	wait
	rm -rf --one-file-system "$folder"
}

# ring NAME PORT: one device, one replica.
ring() {
	(
		cd "$folder"
		swift-ring-builder "$1.builder" create 4 1 0
		swift-ring-builder "$1.builder" add "r1z1-$host:$2/disk" 1
		swift-ring-builder "$1.builder" rebalance
	) >/dev/null
}

# storage NAME PORT: the settings of a server of accounts, containers or objects.
storage() {
	cat >"$folder/$1.conf" <<-END
		[DEFAULT]
		bind_ip = $host
		bind_port = $2
		user = root
		swift_dir = $folder
		devices = $folder/devices
		mount_check = false
		workers = 0
		[pipeline:main]
		pipeline = $1-server
		[app:$1-server]
		use = egg:swift#$1
	END
}

proxy_settings() {
	cat >"$folder/proxy.conf" <<-END
		[DEFAULT]
		bind_ip = $host
		bind_port = $proxy
		user = root
		swift_dir = $folder
		workers = 0
		[pipeline:main]
		pipeline = catch_errors healthcheck cache bulk s3api tempauth copy slo dlo proxy-server
		[app:proxy-server]
		use = egg:swift#proxy
		account_autocreate = true
		allow_account_management = true
		[filter:catch_errors]
		use = egg:swift#catch_errors
		[filter:healthcheck]
		use = egg:swift#healthcheck
		[filter:cache]
		use = egg:swift#memcache
		memcache_servers = $host:$memcached
		[filter:bulk]
		use = egg:swift#bulk
		[filter:s3api]
		use = egg:swift#s3api
		location = us-east-1
		allow_multipart_uploads = true
		[filter:tempauth]
		use = egg:swift#tempauth
		user_test_tester = testing .admin
		[filter:copy]
		use = egg:swift#copy
		[filter:slo]
		use = egg:swift#slo
		[filter:dlo]
		use = egg:swift#dlo
	END
}

# run PROGRAM ARGUMENT...: in the background, until the end.
run() {
	"$@" >"$folder/${1##*/}.log" 2>&1 &
	started+=($!)
}

swift() {
	mkdir -p "$folder/devices/disk"
	ring account $account && ring container $container && ring object $object
	storage account $account && storage container $container && storage object $object
	proxy_settings
	run memcached -u root -l $host -p $memcached
	run swift-account-server "$folder/account.conf"
	run swift-container-server "$folder/container.conf"
	run swift-object-server "$folder/object.conf"
	run swift-proxy-server "$folder/proxy.conf"
	for ((i = 0; i < 150; i++)); do
		curl -sf "http://$host:$proxy/healthcheck" >/dev/null && return
		sleep 0.2
	done
	tail -n 20 "$folder"/*.log >&2
	return 1
}

folder=$(mktemp -d)
trap stop EXIT
install
swift
TUSD_TEST_S3=http://$host:$proxy TUSD_TEST_S3_REGION=us-east-1 \
	TUSD_TEST_S3_ACCESS_KEY=test:tester TUSD_TEST_S3_SECRET_KEY=testing \
	go test -count=1 -run 'GivenService' "$@" ./s3store ./cmd/tusd/cli
