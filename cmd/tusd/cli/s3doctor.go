//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"context"
	"errors"
	"fmt"
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
		Profile: s.profile, MinPart: max(s.minPartSize, s.profile.MinPart), Object: s.object,
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
