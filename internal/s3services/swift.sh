# OpenStack Swift with its S3 layer, for swiftandceph.sh: account, container, object
# and proxy server, with one device and no authentication but tempauth.

readonly program=swift-proxy-server
readonly packages="swift-proxy swift-account swift-container swift-object memcached"
readonly port=18080 access_key=test:tester secret_key=testing
readonly memcached=18081 object=18082 container=18083 account=18084

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
		bind_port = $port
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

start() {
	mkdir -p "$folder/devices/disk"
	ring account $account && ring container $container && ring object $object
	storage account $account && storage container $container && storage object $object
	proxy_settings
	run memcached -u root -l $host -p $memcached
	run swift-account-server "$folder/account.conf"
	run swift-container-server "$folder/container.conf"
	run swift-object-server "$folder/object.conf"
	run swift-proxy-server "$folder/proxy.conf"
}
