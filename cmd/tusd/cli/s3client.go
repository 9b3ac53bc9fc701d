//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/endpoints"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
)

// s3Connection says how to reach a service. Credentials and region come from
// the default chain of the SDK: variables, files, the role of the machine.
type s3Connection struct {
	endpoint     string // URL, or host:port; "": AWS
	disableSSL   bool   // unless endpoint has a scheme
	acceleration bool   // S3 Transfer Acceleration, of AWS only
	connections  int    // that are kept for the next call; 0: 64
}

// newS3Client makes no call, so it does not notice wrong credentials. Buckets
// of another endpoint than AWS are addressed by the path.
func newS3Client(s s3Connection) (*s3.S3, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	config := aws.Config{
		DisableSSL:                &s.disableSSL,
		S3UseAccelerate:           &s.acceleration,
		S3UsEast1RegionalEndpoint: endpoints.RegionalS3UsEast1Endpoint,
		HTTPClient:                &http.Client{Transport: newS3Transport(s.connections)},
	}
	if s.endpoint != "" {
		config.Endpoint, config.S3ForcePathStyle = &s.endpoint, aws.Bool(true)
	}
	options := session.Options{Config: config, SharedConfigState: session.SharedConfigEnable}
	connection, err := session.NewSessionWithOptions(options)
	if err != nil {
		return nil, fmt.Errorf("S3: settings of the AWS SDK: %w", err)
	}
	if aws.StringValue(connection.Config.Region) == "" {
		if s.endpoint == "" {
			return nil, errors.New("S3: no region: set AWS_REGION")
		}
		connection.Config.Region = aws.String("us-east-1") // most other services ignore it
	}
	return s3.New(connection), nil
}

func (s s3Connection) check() error {
	if s.endpoint == "" {
		return nil
	}
	if s.acceleration {
		return errors.New("S3: transfer acceleration is AWS's own: there is none at another endpoint")
	}
	endpoint := s.endpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("S3: the endpoint is no URL like https://host:port") // it may have a password
	}
	return nil
}
