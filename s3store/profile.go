package s3store

import (
	"fmt"
	"slices"
	"strings"
)

// Profile says what an S3 service can take. A field that is 0 has the value
// that AWS has.
type Profile struct {
	Name       string
	MinPart    int64 // bytes of a part that is not the last
	MaxPart    int64 // bytes of a part
	MaxParts   int   // of an object
	MaxObject  int64 // bytes
	EqualParts bool  // all parts but the last must have one size

	// NoConditions tells that writes with If-Match and If-None-Match are not
	// to be tried. Otherwise Open finds out whether they work.
	NoConditions bool
	// NoGaps tells that the numbers of parts must follow one another.
	NoGaps bool
	// NoMultiDelete tells that several objects cannot be removed in one call.
	NoMultiDelete bool
}

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// profiles are what is known of services by name.
var profiles = []Profile{
	{Name: "aws"},
	{Name: "minio"},
	{Name: "r2", EqualParts: true},
	{Name: "b2", NoConditions: true, NoGaps: true},
	{Name: "ceph"},
	{Name: "gcs", NoConditions: true, NoMultiDelete: true},
	{Name: "scaleway", MaxParts: 1000},
	{Name: "generic", MaxParts: 1000, NoGaps: true},
}

// ProfileOf returns the profile of a service: aws, minio, r2, b2, ceph, gcs,
// scaleway, or generic for what every service can.
func ProfileOf(name string) (Profile, error) {
	i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range profiles {
			names = append(names, p.Name)
		}
		return Profile{}, fmt.Errorf("s3store: there is no profile of that name, only %s", strings.Join(names, ", "))
	}
	return profiles[i], nil
}

// withDefaults fills in what AWS has.
func (p Profile) withDefaults() Profile {
	p.MinPart = orDefault(p.MinPart, 5*mib)
	p.MaxPart = orDefault(p.MaxPart, 5*gib)
	p.MaxParts = orDefault(p.MaxParts, 10_000)
	p.MaxObject = orDefault(p.MaxObject, 5*tib)
	return p
}

func orDefault[T int | int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}
