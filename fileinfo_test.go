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

// The estimate of a record is near what a decoded one takes.
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
			// What other tests leave behind is collected now and then.
			const attempts = 5
			var estimate, took float64
			for range attempts {
				if estimate, took = measure(info); estimate >= 0.75*took && estimate <= 1.6*took {
					return
				}
			}
			t.Errorf("%v bytes are estimated, and %v in use", estimate, took)
		})
	}
}

// measure returns the estimate for info and what a copy of it takes, in bytes.
func measure(info tusd.FileInfo) (estimate, took float64) {
	const copies = 200
	infos := make([]tusd.FileInfo, copies)
	before := heaptest.InUse()
	for i := range infos {
		infos[i] = ownCopy(info)
	}
	took = float64(heaptest.InUse()-before) / copies
	estimate = float64(infos[0].MemorySize())
	runtime.KeepAlive(infos)
	return estimate, took
}

func numbered(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint("key", i)] = "v"
	}
	return m
}

// ownCopy shares nothing with info, not even texts.
func ownCopy(info tusd.FileInfo) tusd.FileInfo {
	info = info.Clone()
	own(reflect.ValueOf(&info).Elem())
	return info
}

func own(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Clone(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			own(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			own(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			own(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			own(v.Field(i))
		}
	}
}

// No field that leads to memory is left out: large, each makes the estimate large.
func TestMemorySizeCountsAllFields(t *testing.T) {
	const large = 10_000
	leads := 0
	for i := range reflect.TypeFor[tusd.FileInfo]().NumField() {
		field := reflect.TypeFor[tusd.FileInfo]().Field(i)
		for _, grow := range growers(field.Type, large) {
			leads++
			var info tusd.FileInfo
			grow(reflect.ValueOf(&info).Elem().Field(i))
			if n := info.MemorySize(); n < large {
				t.Errorf("%s with %d bytes: %d are estimated", field.Name, large, n)
			}
		}
	}
	if leads < 18 {
		t.Errorf("only %d ways to make a record large were found", leads)
	}
}

// growers make a value of a type lead to n bytes, each in another place.
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
