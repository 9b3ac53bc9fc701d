package s3store

import (
	"fmt"
	"slices"
	"strings"
)

// Profile describes the limits of an S3 service. A field that is 0 has the
// value of AWS.
type Profile struct {
	Name       string
	MinPart    int64 // bytes of a part that is not the last
	MaxPart    int64 // bytes of a part
	MaxParts   int   // of an object
	MaxObject  int64 // bytes
	EqualParts bool  // all parts but the last must have one size

	// NoConditions means that conditional writes (If-Match, If-None-Match) are
	// not used. Otherwise Open probes whether they work.
	NoConditions bool
	// NoGaps means that the numbers of parts must be consecutive.
	NoGaps bool
	// NoMultiDelete means that one call can remove only one object.
	NoMultiDelete bool
}

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// profiles are the known services.
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
// scaleway, or generic, which fits every service.
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

// withDefaults sets the values of AWS.
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
