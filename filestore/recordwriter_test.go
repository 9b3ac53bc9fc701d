package filestore

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// wantRecordOfJSON checks that the record of info, or its error, is the same as that of
// encoding/json.
func wantRecordOfJSON(t *testing.T, info tusd.FileInfo) {
	t.Helper()
	want, wantErr := json.Marshal(info)
	w := recordWriter{}
	w.record(&info)
	if (w.err != nil) != (wantErr != nil) {
		t.Fatalf("%+v: error %v, encoding/json has %v", info, w.err, wantErr)
	}
	if wantErr == nil && string(w.b) != string(want) {
		t.Errorf("the record is\n%s\nand encoding/json writes\n%s", w.b, want)
	}
}

// fillValue sets v and all its parts to values that are not zero.
func fillValue(t *testing.T, v reflect.Value) {
	if v.CanInterface() {
		if _, ok := v.Interface().(time.Time); ok {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 23, 1, 2, 3, 450, time.UTC)))
			return
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillValue(t, v.Index(0))
		fillValue(t, v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"b", "c", "a"} {
			v.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf("of "+key))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, v.Field(i))
		}
	default:
		t.Fatalf("no value for a %v", v.Type())
	}
}

// TestRecordFieldsAgainstPackageJSON tests FileInfos with all fields, without any, with
// each field alone, and without each field.
func TestRecordFieldsAgainstPackageJSON(t *testing.T) {
	var full tusd.FileInfo
	fillValue(t, reflect.ValueOf(&full).Elem())
	wantRecordOfJSON(t, full)
	wantRecordOfJSON(t, tusd.FileInfo{})
	fields := reflect.TypeFor[tusd.FileInfo]()
	for i := range fields.NumField() {
		t.Run(fields.Field(i).Name, func(t *testing.T) {
			var alone tusd.FileInfo
			reflect.ValueOf(&alone).Elem().Field(i).Set(reflect.ValueOf(full).Field(i))
			wantRecordOfJSON(t, alone)
			without := full
			reflect.ValueOf(&without).Elem().Field(i).SetZero()
			wantRecordOfJSON(t, without)
		})
	}
}

// TestRecordTimesAgainstPackageJSON tests times at and beyond the limits of RFC 3339.
func TestRecordTimesAgainstPackageJSON(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.Local, time.FixedZone("", 90*60), time.FixedZone("", 24*3600), time.FixedZone("", 30)} {
		for _, year := range []int{-1, 0, 1, 999, 9999, 10000} {
			for _, nanoseconds := range []int{0, 1, 120000000} {
				wantRecordOfJSON(t, tusd.FileInfo{Created: time.Date(year, 12, 31, 23, 59, 59, nanoseconds, zone)})
			}
		}
	}
	wantRecordOfJSON(t, tusd.FileInfo{Created: time.Now()})
	if _, err := formatRecord(tusd.FileInfo{Created: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil {
		t.Error("formatRecord gives no error for an invalid time")
	}
}

// TestRecordListsAgainstPackageJSON tests lists and maps that are empty but not nil.
func TestRecordListsAgainstPackageJSON(t *testing.T) {
	wantRecordOfJSON(t, tusd.FileInfo{PartialUploads: []string{}, Finals: []string{}, MetaData: tusd.MetaData{}, Storage: map[string]string{}})
}

func FuzzRecordIsThatOfPackageJSON(f *testing.F) {
	f.Add("0123", "filename", "holiday.jpg", "filename aG9saWRheS5qcGc=", int64(4096))
	f.Add("a/b", "", "\x00\x1f\x7f\u2028", "<>&\"\\/\t\n", int64(0))
	f.Add("é", "\xff", "\xed\xa0\x80", "x\u2029y", int64(-1))
	f.Fuzz(func(t *testing.T, id, name, value, raw string, size int64) {
		wantRecordOfJSON(t, tusd.FileInfo{
			ID: id, Size: size, Offset: size,
			MetaData: tusd.MetaData{name: value, value: name, "filetype": raw},
			Storage:  map[string]string{"Path": "/" + id, "Type": "filestore"},
			Dialect:  tusd.Dialect(name), State: tusd.State(value), RawMetaData: raw, RawConcat: value,
			PartialUploads: []string{id, name}, Finals: []string{value, raw},
		})
	})
}
