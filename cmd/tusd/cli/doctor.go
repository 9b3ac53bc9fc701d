//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/s3store/awsv1"
)

// doctorCommand is the first argument of tusd doctor.
const doctorCommand = "doctor"

const doctorIntro = `tusd doctor tries out where uploads would be kept, a bucket or a directory, and
says line by line what is ok, what is missing, and what to do about it. It
leaves nothing behind. It ends with 0 if nothing is missing, else with 1.

Usage: tusd doctor [-as user] [flags]

-as runs it as the user of the server, a name or a number; only root can do
that.

It takes the flags, variables and config file of the server. It looks at where
the server is to listen, at the certificate and the PID file, and makes use of
these:
`

func writeDoctorHelp(w io.Writer) {
	fmt.Fprint(w, doctorIntro)
	for _, s := range sections(new(config)) {
		if s.title == fileSection || s.title == s3Section {
			s.writeHelp(w)
		}
	}
}

// runDoctor is Run for tusd doctor.
func runDoctor(c call) int {
	ctx, stdout, stderr := c.ctx, c.stdout, c.stderr
	as, args, err := cutAs(c.args)
	if err == nil && as != "" {
		return runDoctorAs(ctx, as, args, c.env, stdout, stderr)
	}
	var cfg config
	if err == nil {
		cfg, err = readConfig(args, c.env)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		writeDoctorHelp(stdout)
		return exitOK
	case err != nil:
		return c.wrong(err.Error(), "tusd doctor -help for the list of flags")
	case cfg.showVersion:
		writeVersion(stdout)
		return exitOK
	}
	report := doctor.NewReport(stdout)
	for _, sentence := range cfg.warnings(c.env) {
		report.Warn("settings", sentence)
	}
	cfg.examineUser(report)
	cfg.examineStart(report)
	cfg.examine(ctx, report)
	if ctx.Err() != nil {
		fmt.Fprintf(stderr, "tusd: doctor was ended before it was done: %v\n", context.Cause(ctx))
		return exitFailed
	}
	report.Conclude()
	if !report.Good() {
		return exitFailed
	}
	return exitOK
}

func (cfg config) examine(ctx context.Context, report *doctor.Report) {
	if cfg.s3.bucket != "" {
		cfg.s3.examine(ctx, report)
		return
	}
	s := cfg.storage
	path, err := filepath.Abs(s.uploadDir)
	if err != nil {
		report.Missing("directory "+s.uploadDir, err.Error())
		return
	}
	doctor.Directory{
		Path: path, Durability: s.durability, MinFree: s.minFree, StorageRoots: filepath.SplitList(s.storageRoots),
		FileKey: s.fileKey, DirPerm: s.dirPerms, FilePerm: s.filePerms,
	}.Examine(ctx, report)
}

func (s s3Settings) examine(ctx context.Context, report *doctor.Report) {
	store := newS3Store(s, nil)
	subject := "bucket s3://" + s.bucket + "/" + store.ObjectPrefix
	api, err := newS3Client(s.connection)
	if err != nil {
		report.Missing(subject, err.Error())
		return
	}
	report.OK(subject, fmt.Sprintf("at %s, region %s, -s3-profile %s", api.Endpoint, aws.StringValue(api.Config.Region), s.profile.Name))
	if !findCredentials(ctx, api, report) {
		return
	}
	defer api.Config.HTTPClient.CloseIdleConnections()
	doctor.Bucket{
		Client: newBucketClient(s, api, func(awsv1.Call) {}), Prefix: store.ObjectPrefix,
		Profile: s.profile, MinPart: max(s.minPartSize, s.profile.MinPart), Object: s.object,
		RedirectDownloads: store.RedirectDownloads, HTTP: api.Config.HTTPClient,
	}.Examine(ctx, report)
}

// credentialsTimeout bounds the search for credentials, which may ask the
// machine for its role.
const credentialsTimeout = 30 * time.Second

// findCredentials tells where the SDK finds some, and not what they are.
func findCredentials(ctx context.Context, api *s3.S3, report *doctor.Report) bool {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	found, err := api.Config.Credentials.GetWithContext(ctx)
	var told awserr.Error
	switch {
	case errors.As(err, &told) && told.Code() == "NoCredentialProviders":
		report.Missing("credentials", "none are found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role")
	case errors.Is(ctx.Err(), context.Canceled): // it is to end
	case err != nil:
		report.Missing("credentials", fmt.Sprintf("they cannot be had: %v", err))
	default:
		report.OK("credentials", "found by the SDK's "+found.ProviderName)
	}
	return err == nil
}
