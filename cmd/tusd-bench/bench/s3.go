package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/cmd/tusd-bench/sdk"
	"github.com/tus/tusd/cmd/tusd-bench/service"
)

// s3Options are the settings of servers on the built-in S3 service.
type s3Options struct {
	use      bool
	compare  bool // with the SDK's uploader
	latency  time.Duration
	partSize int64
	parts    int
	noHashes bool
}

func (s *s3Options) declare(f *flag.FlagSet) {
	s.partSize = 50 << 20
	f.BoolVar(&s.use, "s3", false, "let -server store uploads on the built-in S3 service, which discards contents")
	f.BoolVar(&s.compare, "sdk", false, "with -s3: compare with the SDK's uploader")
	f.DurationVar(&s.latency, "s3-latency", 0, "with -s3: how much longer each call of the service takes (`duration`)")
	f.Var((*size)(&s.partSize), "s3-part-size", "with -s3: size of a part in `bytes` (K, M, G)")
	f.IntVar(&s.parts, "s3-concurrent-part-uploads", 10, "with -s3: `number` of parts that are sent at the same time")
	f.BoolVar(&s.noHashes, "s3-disable-content-hashes", false, "with -s3: sign contents without their SHA-256")
}

// flags returns the flags that the measured server and the SDK's uploader share.
func (s s3Options) flags(endpoint string) []string {
	return []string{
		"-s3-endpoint", endpoint,
		"-s3-part-size", fmt.Sprint(s.partSize), "-s3-concurrent-part-uploads", fmt.Sprint(s.parts),
		fmt.Sprintf("-s3-disable-content-hashes=%t", s.noHashes),
	}
}

// onS3 starts the service, and on it the measured server and, for a comparison, the
// peers, in this order.
func (o options) onS3(ctx context.Context, place *workDir) (servers []*server, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := []string{self, service.Command, "-latency", o.s3.latency.String()}
	s3, err := place.startIn(ctx, launch{name: "S3 service", command: command})
	if err != nil {
		return nil, err
	}
	launches := []launch{o.daemonOn(s3.url)}
	if o.s3.compare {
		launches = append(launches, o.peersOn(self, s3.url)...)
	}
	for _, l := range launches {
		s, err := place.startIn(ctx, l)
		if err != nil {
			return nil, err
		}
		s.target.DiscardsContent = true
		servers = append(servers, s)
	}
	if o.s3.compare {
		servers[uploaderAt].target.OrderHeader = sdk.OrderHeader
	}
	return servers, nil
}

// daemonOn returns how to start the server of -server on an S3 service.
func (o options) daemonOn(endpoint string) launch {
	return launch{
		name:    "server",
		command: append(o.command(), append(o.s3.flags(endpoint), "-s3-bucket", service.Bucket)...),
		env: []string{
			"AWS_REGION=" + service.Region,
			"AWS_ACCESS_KEY_ID=" + service.AccessKey, "AWS_SECRET_ACCESS_KEY=" + service.SecretKey, "AWS_SESSION_TOKEN=",
		},
	}
}

// peers are the servers that a server on S3 is compared with: the SDK's uploader from
// memory, a handler that only receives, and twice a handler with the uploader.
var peers = []struct{ name, content string }{
	{"uploader", sdk.Memory}, {"receiver", sdk.Drop}, {"both", sdk.Relay}, {"both'", sdk.Relay},
}

// peersOn returns how to start the peers on an S3 service. self is this program.
func (o options) peersOn(self, endpoint string) (launches []launch) {
	for _, p := range peers {
		command := append([]string{self, sdk.Command, "-content", p.content}, o.s3.flags(endpoint)...)
		launches = append(launches, launch{name: p.name, command: command})
	}
	return launches
}

// Indexes of the servers that onS3 returns.
const (
	measuredAt = iota
	uploaderAt
	receiverAt
)

// addTogether compares the measured server with the uploader and the receiver: with the
// sum of their CPU time, and with the elapsed time of the uploader.
func (r *Report) addTogether(work string, servers []*server, results []series) {
	names := [2]string{servers[measuredAt].name, servers[uploaderAt].name + "+" + servers[receiverAt].name}
	sum := withCPU(results[uploaderAt], results[receiverAt])
	r.Ratios = append(r.Ratios, compare(work, names, results[measuredAt], sum))
}

// withCPU returns a with the CPU time of b added, round by round. Memory is not added:
// the peaks need not be at the same time.
func withCPU(a, b series) series {
	sum := make(series, len(a))
	for i := range a {
		sum[i] = a[i]
		sum[i].Usage = nil
		if a[i].Usage != nil && b[i].Usage != nil {
			sum[i].Usage = &load.Usage{CPU: a[i].Usage.CPU + b[i].Usage.CPU}
		}
	}
	return sum
}
