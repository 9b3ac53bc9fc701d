package bytecache

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

const testBudget = 64 << 10

func newTest() *Cache[string, string] {
	return New(testBudget, func(key, value string) int { return len(key) + len(value) },
		func(value string) bool { return value != "" && value[0] == 'P' })
}

// value returns a value of n bytes.
func value(n int) string { return string(make([]byte, n)) }

// The budget bounds the bytes for any size of values. The oldest values are evicted first.
func TestBudget(t *testing.T) {
	for _, size := range []int{0, 100, testBudget / 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := newTest()
			const n = 10_000
			for i := range n {
				c.Put(fmt.Sprint(i), value(size))
				if c.Bytes() > testBudget {
					t.Fatalf("%d bytes after %d values", c.Bytes(), i+1)
				}
			}
			if c.Bytes() < testBudget/2 {
				t.Errorf("only %d bytes are in use", c.Bytes())
			}
			for i := range n {
				if _, ok := c.Get(fmt.Sprint(i)); ok != (i >= n-c.Len()) {
					t.Fatalf("value %d of %d, with %d in the cache: %t", i, n, c.Len(), ok)
				}
			}
			if len(c.slots) > 2*testBudget/100 {
				t.Errorf("%d slots: those of evicted values are not reused", len(c.slots))
			}
		})
	}
}

// Many new values do not evict a value that is read again and again.
func TestUsedValueIsNotEvicted(t *testing.T) {
	c := newTest()
	c.Put("used", value(10))
	for i := range 10_000 {
		c.Put(fmt.Sprint(i), value(100))
		if _, ok := c.Get("used"); !ok {
			t.Fatalf("evicted by value %d", i)
		}
	}
}

func TestTooLargeValueIsNotStored(t *testing.T) {
	c := newTest()
	c.Put("a", value(10))
	c.Put("b", value(10))
	c.Put("a", value(testBudget/8))
	if _, ok := c.Get("a"); ok {
		t.Error("the old value, or one that is too large, is in the cache")
	}
	if _, ok := c.Get("b"); !ok || c.Len() != 1 {
		t.Errorf("the other value: %t, values: %d", ok, c.Len())
	}
}

// Pinned values are not evicted. When they are not pinned any more, they can be evicted.
func TestPinned(t *testing.T) {
	c := newTest()
	const pinned = 100
	for i := range pinned {
		c.Put(fmt.Sprint("pinned", i), "P"+value(testBudget/50))
	}
	if c.Bytes() < testBudget {
		t.Fatal("the pinned values do not exceed the budget")
	}
	for i := range 1000 {
		c.Put(fmt.Sprint(i), value(100))
	}
	for i := range pinned {
		if _, ok := c.Get(fmt.Sprint("pinned", i)); !ok {
			t.Fatalf("pinned value %d was evicted", i)
		}
	}
	over := c.Bytes()
	if over > pinned*testBudget/40 {
		t.Errorf("%d bytes, far more than the pinned values", over)
	}
	for i := range pinned {
		c.Put(fmt.Sprint("pinned", i), "")
	}
	if c.Bytes() > testBudget {
		t.Errorf("%d bytes, and nothing is pinned", c.Bytes())
	}
}

// Random operations are compared with a map: Get returns the last value, and the sums are right.
func TestRandomOperations(t *testing.T) {
	c, model := newTest(), make(map[string]string)
	for range 100_000 {
		key := fmt.Sprint(rand.IntN(300))
		switch rand.IntN(4) {
		case 0:
			delete(model, key)
			c.Delete(key)
		default:
			v := value(rand.IntN(testBudget / 20))
			model[key] = v
			c.Put(key, v)
		}
		key = fmt.Sprint(rand.IntN(300))
		want, there := model[key]
		if got, ok := c.Get(key); ok && (got != want || !there) {
			t.Fatalf("key %s has %d bytes, want %d (%t)", key, len(got), len(want), there)
		}
	}
	bytes, n := 0, 0
	for key, v := range c.All() {
		bytes, n = bytes+c.sizeOf(key, v), n+1
	}
	if n != c.Len() || int64(bytes) != c.Bytes() || c.Bytes() > testBudget {
		t.Errorf("%d values of %d bytes, Len and Bytes are %d and %d", n, bytes, c.Len(), c.Bytes())
	}
}

func TestAllocations(t *testing.T) {
	c := newTest()
	for i := range 1000 {
		c.Put(fmt.Sprint(i), "")
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.Put("a", "x")
		c.Get("a")
		c.Delete("a")
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
