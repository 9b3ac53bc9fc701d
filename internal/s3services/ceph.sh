# Ceph's RADOS Gateway, for swiftandceph.sh: a monitor, a manager, and one OSD that
# keeps everything in memory.

readonly program=radosgw
readonly packages="ceph-mon ceph-osd ceph-mgr radosgw ceph-common"
readonly port=18080 access_key=test secret_key=testing123
readonly monitor=18081

settings() {
	cat >"$CEPH_CONF" <<-END
		[global]
		fsid = $1
		mon initial members = a
		mon host = v1:$host:$monitor
		public addr = $host
		cluster addr = $host
		auth cluster required = none
		auth service required = none
		auth client required = none
		run dir = $folder
		admin socket = $folder/\$name.asok
		log file = $folder/\$name.log
		mon data = $folder/mon
		mgr data = $folder/mgr
		osd data = $folder/osd
		rgw data = $folder/rgw
		osd objectstore = memstore
		memstore device bytes = 4294967296
		osd class update on start = false
		osd crush update on start = false
		osd crush chooseleaf type = 0
		osd pool default size = 1
		osd pool default min size = 1
		osd pool default pg num = 8
		osd pool default pg autoscale mode = off
		mon allow pool size one = true
		rgw frontends = beast endpoint=$host:$port
	END
}

start() {
	local fsid osd
	fsid=$(</proc/sys/kernel/random/uuid) osd=$(</proc/sys/kernel/random/uuid)
	export CEPH_CONF=$folder/ceph.conf
	mkdir "$folder"/{mon,mgr,osd,rgw}
	settings "$fsid"
	monmaptool --create --addv a "[v1:$host:$monitor]" --fsid "$fsid" "$folder/monmap"
	ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
	ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
	run ceph-mon -i a -f
	ceph --connect-timeout 60 osd new "$osd" 0
	ceph osd crush add osd.0 1 root=default host=here
	ceph-osd -i 0 --mkfs --osd-uuid "$osd"
	run ceph-osd -i 0 -f
	run ceph-mgr -i x -f
	timeout 120 radosgw-admin user create --uid test --display-name test \
		--access-key "$access_key" --secret "$secret_key"
	run radosgw -n client.rgw -f
}
