//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/s3store/awsv1"
)

func (s *s3Settings) examine(ctx context.Context, _ config, report *doctor.Report) {
	store := newS3Store(*s, nil)
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
		Client: newBucketClient(*s, api, func(awsv1.Call) {}), Prefix: store.ObjectPrefix,
		Profile: s.profile, MinPart: max(s.minPartSize, s.profile.MinPart), Object: s.object, AbortsMultipart: lifecycleOf(api, s.bucket, store.ObjectPrefix, s.profile.Name),
		RedirectDownloads: store.RedirectDownloads, HTTP: api.Config.HTTPClient,
	}.Examine(ctx, report)
}

// findCredentials reports the source of the SDK's credentials, but not the credentials.
func findCredentials(ctx context.Context, api *s3.S3, report *doctor.Report) bool {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	found, err := api.Config.Credentials.GetWithContext(ctx)
	var told awserr.Error
	switch {
	case errors.As(err, &told) && told.Code() == "NoCredentialProviders":
		report.Missing("credentials", "none are found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role")
	case errors.Is(ctx.Err(), context.Canceled): // the doctor was interrupted
	case err != nil:
		report.Missing("credentials", fmt.Sprintf("they cannot be had: %v", err))
	default:
		report.OK("credentials", "found by the SDK's "+found.ProviderName)
	}
	return err == nil
}

// credentialsTimeout bounds the search for credentials, which may ask the
// machine for its role.
const credentialsTimeout = 30 * time.Second

// lifecycleOf returns a function that asks whether a lifecycle rule of the bucket aborts
// abandoned multipart uploads below prefix; nil: the answers of the service do not tell.
func lifecycleOf(api *s3.S3, bucket, prefix, profile string) func(context.Context) (bool, error) {
	if profile == "minio" || profile == "gcs" { // MinIO has a setting of its own, and GCS rules of its own
		return nil
	}
	return func(ctx context.Context) (bool, error) {
		answer, err := api.GetBucketLifecycleConfigurationWithContext(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
		var told awserr.Error
		if errors.As(err, &told) && told.Code() == "NoSuchLifecycleConfiguration" {
			return false, nil
		}
		if err == nil && len(answer.Rules) == 0 {
			err = errors.New("the answer has no rules")
		}
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(answer.Rules, func(r *s3.LifecycleRule) bool { return abortsBelow(r, prefix) }), nil
	}
}

// abortsBelow reports whether a lifecycle rule aborts multipart uploads of all keys that
// begin with prefix.
func abortsBelow(r *s3.LifecycleRule, prefix string) bool {
	if aws.StringValue(r.Status) != s3.ExpirationStatusEnabled || r.AbortIncompleteMultipartUpload == nil {
		return false
	}
	of := aws.StringValue(r.Prefix)
	if f := r.Filter; f != nil {
		if f.Tag != nil || f.And != nil && len(f.And.Tags) > 0 {
			return false
		}
		if of = aws.StringValue(f.Prefix); f.And != nil {
			of = aws.StringValue(f.And.Prefix)
		}
	}
	return strings.HasPrefix(prefix, of)
}
