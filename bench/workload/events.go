package workload

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// orderBytes is the least size of an order's event.
const orderBytes = 1000

// generator makes the events of one partition.
type generator struct {
	rng *rand.Rand
	ms  int64
}

func eventTypes() []string {
	return []string{"order.created", "order.paid", "order.shipped", "order.delivered", "cart.updated", "payment.failed", "item.viewed"}
}

func tenants() []string {
	return []string{"acme-eu", "acme-us", "globex", "initech", "umbrella", "hooli-apac", "stark-retail", "wayne"}
}

func agents() []string {
	return []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"shop-android/7.14.2 (Android 15; Pixel 9)",
	}
}

func words() []string {
	return []string{
		"wireless", "keyboard", "steel", "bottle", "running", "shoes", "desk", "lamp", "cotton", "shirt", "garden", "hose",
		"travel", "mug", "phone", "case", "leather", "wallet", "coffee", "grinder", "yoga", "mat", "usb", "cable",
	}
}

func pick(g *generator, from []string) string { return from[g.rng.IntN(len(from))] }

// time moves on, and is appended as a log would write it.
func (g *generator) time(dst []byte) []byte {
	g.ms += g.rng.Int64N(40)
	return time.UnixMilli(g.ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func (g *generator) hex(dst []byte, digits int) []byte {
	const alphabet = "0123456789abcdef"
	for digits > 0 {
		for r, n := g.rng.Uint64(), min(16, digits); n > 0; n-- {
			dst = append(dst, alphabet[r&15])
			r >>= 4
			digits--
		}
	}
	return dst
}

func (g *generator) int(dst []byte, below int64) []byte {
	return strconv.AppendInt(dst, g.rng.Int64N(below), 10)
}

func (g *generator) price(dst []byte) []byte {
	cents := g.rng.Int64N(20_000)
	dst = append(strconv.AppendInt(dst, cents/100, 10), '.')
	return append(dst, byte('0'+cents/10%10), byte('0'+cents%10))
}

// order is an event of a shop, about 1 KB: identifiers that nothing compresses, among
// names and texts that repeat.
func (g *generator) order(dst []byte) []byte {
	start := len(dst)
	dst = g.hex(append(dst, `{"event_id":"`...), 32)
	dst = g.time(append(dst, `","timestamp":"`...))
	dst = append(append(dst, `","event_type":"`...), pick(g, eventTypes())...)
	dst = append(append(dst, `","schema_version":3,"tenant":"`...), pick(g, tenants())...)
	dst = g.int(append(dst, `","source":{"service":"order-service","host":"orders-`...), 24)
	dst = append(dst, `.prod.eu-central-1.internal","build":"2026.01.3"},"trace":{"trace_id":"`...)
	dst = g.hex(dst, 32)
	dst = g.hex(append(dst, `","span_id":"`...), 16)
	dst = g.hex(append(dst, `","parent_id":"`...), 16)
	dst = g.int(append(dst, `","sampled":true},"user":{"id":`...), 5_000_000)
	dst = g.hex(append(dst, `,"session":"`...), 16)
	dst = append(append(dst, `","country":"DE","agent":"`...), pick(g, agents())...)
	dst = g.hex(append(dst, `","address_hash":"`...), 64)
	dst = g.int(append(dst, `"},"request":{"method":"POST","path":"/api/v2/orders/`...), 90_000_000)
	dst = g.int(append(dst, `/items","status":200,"duration_ms":`...), 400)
	dst = append(dst, `},"items":[`...)
	const tail = `],"currency":"EUR","discounts":null,"flags":["verified","returning"]}`
	for first := true; first || len(dst)-start < orderBytes-len(tail); first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = g.item(dst)
	}
	return append(dst, tail...)
}

func (g *generator) item(dst []byte) []byte {
	dst = g.hex(append(dst, `{"sku":"`...), 20)
	dst = append(append(dst, `","name":"`...), pick(g, words())...)
	dst = append(append(dst, ' '), pick(g, words())...)
	dst = g.int(append(dst, `","quantity":`...), 5)
	dst = g.price(append(dst, `,"unit_price":`...))
	return append(dst, `,"in_stock":true}`...)
}

// reading is what a sensor says, 100 bytes.
func (g *generator) reading(dst []byte) []byte {
	const size = 97 // with what a batch adds to a record, about 106
	start := len(dst)
	dst = g.time(append(dst, `{"t":"`...))
	dst = g.int(append(dst, `","device":"s-`...), 10_000)
	dst = g.price(append(dst, `","temp":`...))
	dst = g.int(append(dst, `,"load":`...), 1000)
	dst = append(dst, `,"ok":true,"pad":"`...)
	for len(dst)-start < size-2 {
		dst = append(dst, '-')
	}
	return append(dst, `"}`...)
}
