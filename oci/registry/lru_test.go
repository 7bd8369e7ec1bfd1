package registry

import "testing"

func TestLRU(t *testing.T) {
	c := newLRU[string, int](10)
	has := func(key string, want bool) {
		t.Helper()
		if _, ok := c.get(key); ok != want {
			t.Fatalf("%s: %v", key, ok)
		}
	}
	c.put("a", 1, 4)
	c.put("b", 2, 4)
	has("a", true) // now newer than b
	c.put("c", 3, 4)
	has("b", false)
	has("a", true)
	c.put("a", 4, 7) // in place of the other a
	has("c", false)
	if v, _ := c.get("a"); v != 4 || c.cost != 7 {
		t.Fatalf("a is %d, cost %d", v, c.cost)
	}
	c.put("large", 5, 100) // stays, alone
	has("a", false)
	has("large", true)
	c.put("small", 6, 1)
	has("large", false)
	if c.replace("small", 7, 8, 1) || !c.replace("small", 6, 8, 2) || c.replace("none", 0, 0, 1) {
		t.Fatal("replace")
	}
	c.drop("small")
	c.drop("small")
	if c.cost != 0 || len(c.nodes) != 0 || c.ring.next != &c.ring || c.ring.prev != &c.ring {
		t.Fatalf("cost %d, %d nodes", c.cost, len(c.nodes))
	}
}
