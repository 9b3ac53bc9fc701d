package tusd_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/heaptest"
)

// MemorySize is near the memory of a decoded record.
func TestMemorySizeOfRecords(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, info := range map[string]tusd.FileInfo{
		"small":     {ID: text(32), Storage: map[string]string{"Type": "filestore", "Path": text(60), "InfoPath": text(65)}},
		"metadata":  {ID: text(32), RawMetaData: text(16000), MetaData: tusd.MetaData{"filename": text(12000)}},
		"many keys": {ID: text(32), RawMetaData: text(16000), MetaData: numbered(2000)},
		"final":     {ID: text(32), RawConcat: text(240_000), PartialUploads: strings.Fields(strings.Repeat(text(32)+" ", 3000))},
		"failed":    {ID: text(32), Failure: &tusd.Failure{Body: text(3000), Header: numbered(20)}},
		"digests":   {ID: text(32), Digests: []tusd.Digest{{Algorithm: "sha-512", State: []byte(text(208)), Sum: []byte(text(64))}}},
	} {
		t.Run(name, func(t *testing.T) {
			// Garbage of other tests may be collected during a measurement.
			const attempts = 5
			var estimate, took float64
			for range attempts {
				if estimate, took = measure(info); estimate >= 0.75*took && estimate <= 1.6*took {
					return
				}
			}
			t.Errorf("the estimate is %v bytes, %v are in use", estimate, took)
		})
	}
}

// measure returns the estimate for info and the memory of a copy, in bytes.
func measure(info tusd.FileInfo) (estimate, took float64) {
	const copies = 200
	infos := make([]tusd.FileInfo, copies)
	before := heaptest.InUse()
	for i := range infos {
		infos[i] = deepCopy(info)
	}
	took = float64(heaptest.InUse()-before) / copies
	estimate = float64(infos[0].MemorySize())
	runtime.KeepAlive(infos)
	return estimate, took
}

// numbered returns a map with n keys.
func numbered(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint("key", i)] = "v"
	}
	return m
}

// deepCopy returns a copy that shares no memory with info, not even of strings.
func deepCopy(info tusd.FileInfo) tusd.FileInfo {
	info = info.Clone()
	cloneStrings(reflect.ValueOf(&info).Elem())
	return info
}

// cloneStrings replaces all strings in v by copies.
func cloneStrings(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Clone(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			cloneStrings(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			cloneStrings(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			cloneStrings(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			cloneStrings(v.Field(i))
		}
	}
}

// MemorySize includes all fields: the estimate is large if one of them is.
func TestMemorySizeCountsAllFields(t *testing.T) {
	const large = 10_000
	tested := 0
	for i := range reflect.TypeFor[tusd.FileInfo]().NumField() {
		field := reflect.TypeFor[tusd.FileInfo]().Field(i)
		for _, grow := range growers(field.Type, large) {
			tested++
			var info tusd.FileInfo
			grow(reflect.ValueOf(&info).Elem().Field(i))
			if n := info.MemorySize(); n < large {
				t.Errorf("%s with %d bytes: the estimate is %d", field.Name, large, n)
			}
		}
	}
	if tested < 18 {
		t.Errorf("only %d ways to make a record large were tested", tested)
	}
}

// growers returns functions that make a value of a type refer to n bytes, each in another part.
func growers(of reflect.Type, n int) (all []func(reflect.Value)) {
	switch of.Kind() {
	case reflect.String:
		all = append(all, func(v reflect.Value) { v.SetString(strings.Repeat("x", n)) })
	case reflect.Pointer:
		for _, grow := range growers(of.Elem(), n) {
			all = append(all, func(v reflect.Value) {
				v.Set(reflect.New(of.Elem()))
				grow(v.Elem())
			})
		}
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return append(all, func(v reflect.Value) { v.SetBytes(make([]byte, n)) })
		}
		for _, grow := range growers(of.Elem(), n) {
			all = append(all, func(v reflect.Value) {
				v.Set(reflect.MakeSlice(of, 1, 1))
				grow(v.Index(0))
			})
		}
	case reflect.Map:
		text := reflect.ValueOf(strings.Repeat("x", n))
		all = append(all,
			func(v reflect.Value) { v.Set(mapOf(of, text, reflect.ValueOf(""))) },
			func(v reflect.Value) { v.Set(mapOf(of, reflect.ValueOf(""), text)) })
	case reflect.Struct:
		if of == reflect.TypeFor[time.Time]() {
			return nil
		}
		for i := range of.NumField() {
			for _, grow := range growers(of.Field(i).Type, n) {
				all = append(all, func(v reflect.Value) { grow(v.Field(i)) })
			}
		}
	}
	return all
}

func mapOf(of reflect.Type, key, value reflect.Value) reflect.Value {
	m := reflect.MakeMap(of)
	m.SetMapIndex(key, value)
	return m
}
