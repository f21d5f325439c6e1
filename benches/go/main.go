// Command ring asks grpc-go's ring_hash_experimental, over endpoints that it believes to be connected.
//
//	ring pick WHAT HOSTS MIN MAX   measures: for each number of picks on its input, the nanoseconds of CPU that
//	                               they took on its output. WHAT is "header", for requests whose key is in a
//	                               header, or "hash", where it has been hashed by somebody else (xDS)
//	ring owners MIN MAX WEIGHT...  says who has the keys 0 to 63 (as decimal text) among hosts of these weights
//
// The balancer is gRPC's own, built by its registry and told of its endpoints as a channel would; what is made up is
// the channel, whose connections are ready as soon as they are asked for.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/internal/ringhash"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
)

const header = "x-key"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	usage := errors.New("usage: ring pick header|hash HOSTS MIN MAX | ring owners MIN MAX WEIGHT...")
	if len(arguments) < 4 {
		return usage
	}
	switch what := arguments[1]; arguments[0] {
	case "pick":
		numbers, err := parse(arguments[2:])
		if err != nil || len(numbers) != 3 || what != "header" && what != "hash" {
			return usage
		}
		channel, err := connect(slices.Repeat([]uint64{1}, int(numbers[0])), numbers[1], numbers[2], what == "header")
		if err != nil {
			return err
		}
		return measure(channel)
	case "owners":
		numbers, err := parse(arguments[1:])
		if err != nil {
			return usage
		}
		channel, err := connect(numbers[2:], numbers[0], numbers[1], true)
		if err != nil {
			return err
		}
		for key := range 64 {
			fmt.Println(channel.owner(strconv.Itoa(key)))
		}
		return nil
	}
	return usage
}

func parse(arguments []string) ([]uint64, error) {
	numbers := make([]uint64, len(arguments))
	for place, argument := range arguments {
		number, err := strconv.ParseUint(argument, 10, 32)
		if err != nil {
			return nil, err
		}
		numbers[place] = number
	}
	return numbers, nil
}

// connect is a channel to hosts 10.0.X.Y:80, all of which are connected.
func connect(weights []uint64, least, most uint64, byHeader bool) (*channel, error) {
	endpoints := make([]resolver.Endpoint, len(weights))
	for host, each := range weights {
		address := fmt.Sprintf("10.0.%d.%d:80", host>>8, host&255)
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		endpoints[host] = weight.Set(endpoint, weight.EndpointInfo{Weight: uint32(each)})
	}
	builder := balancer.Get("ring_hash_experimental")
	wanted := map[string]any{"minRingSize": least, "maxRingSize": most}
	if byHeader {
		wanted["requestHashHeader"] = header
	}
	settings, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	config, err := builder.(balancer.ConfigParser).ParseConfig(settings)
	if err != nil {
		return nil, err
	}
	channel := &channel{connected: map[string]bool{}, byHeader: byHeader}
	ring := builder.Build(channel, balancer.BuildOptions{})
	state := resolver.State{Endpoints: endpoints}
	if err := ring.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: config}); err != nil {
		return nil, err
	}
	// It connects to whom it is asked for, and builds the next picker meanwhile.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		for key := range 20 * len(weights) {
			channel.owner(strconv.Itoa(key))
		}
		time.Sleep(10 * time.Millisecond)
		if channel.count() == len(weights) {
			// The last of the pickers is under way.
			time.Sleep(100 * time.Millisecond)
			return channel, nil
		}
	}
	return nil, fmt.Errorf("connected to %d of %d", channel.count(), len(weights))
}

func measure(c *channel) error {
	// Made before, since it is the channel that makes them for each call.
	infos := make([]balancer.PickInfo, 1<<12)
	for key := range infos {
		infos[key] = c.info(fmt.Sprintf("%08d", key*2654435761%100000000))
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		turns, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			return err
		}
		start := spent()
		for turn := range turns {
			if _, err := c.picker.Pick(infos[turn%uint64(len(infos))]); err != nil {
				return err
			}
		}
		fmt.Println((spent() - start).Nanoseconds())
	}
	return lines.Err()
}

// spent is the CPU time of the whole process: the collector of garbage is part of what it costs.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (c *channel) info(key string) balancer.PickInfo {
	ctx := context.Background()
	if c.byHeader {
		ctx = metadata.AppendToOutgoingContext(ctx, header, key)
	} else {
		ctx = ringhash.SetXDSRequestHash(ctx, xxhash.Sum64String(key))
	}
	return balancer.PickInfo{FullMethodName: "/shop.Orders/Get", Ctx: ctx}
}

// channel is as much of a gRPC channel as a balancer needs.
type channel struct {
	balancer.ClientConn
	lock      sync.Mutex
	picker    balancer.Picker
	connected map[string]bool
	byHeader  bool
}

func (c *channel) NewSubConn(addresses []resolver.Address, options balancer.NewSubConnOptions) (balancer.SubConn, error) {
	return &connection{channel: c, address: addresses[0].Addr, listener: options.StateListener}, nil
}

func (c *channel) UpdateState(state balancer.State) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.picker = state.Picker
}

func (c *channel) ResolveNow(resolver.ResolveNowOptions) {}

func (c *channel) Target() string { return "ring" }

func (c *channel) MetricsRecorder() stats.MetricsRecorder {
	return &stats.UnimplementedMetricsRecorder{}
}

// owner is the address to which a key goes; "" where it is not connected yet.
func (c *channel) owner(key string) string {
	c.lock.Lock()
	picker := c.picker
	c.lock.Unlock()
	result, err := picker.Pick(c.info(key))
	if err != nil {
		return ""
	}
	return address(result.SubConn)
}

func (c *channel) count() int {
	c.lock.Lock()
	defer c.lock.Unlock()
	return len(c.connected)
}

// connection is ready as soon as it is to be made.
type connection struct {
	balancer.SubConn
	channel  *channel
	address  string
	listener func(balancer.SubConnState)
}

func address(subConn balancer.SubConn) string {
	if one, ok := subConn.(*connection); ok {
		return one.address
	}
	return ""
}

func (c *connection) Connect() {
	// Not under the lock of who asks for it.
	go func() {
		c.listener(balancer.SubConnState{ConnectivityState: connectivity.Connecting})
		c.listener(balancer.SubConnState{ConnectivityState: connectivity.Ready})
		c.channel.lock.Lock()
		defer c.channel.lock.Unlock()
		c.channel.connected[c.address] = true
	}()
}

func (c *connection) RegisterHealthListener(listener func(balancer.SubConnState)) {
	go listener(balancer.SubConnState{ConnectivityState: connectivity.Ready})
}

func (c *connection) Shutdown() {}

func (c *connection) UpdateAddresses([]resolver.Address) {}

func (c *connection) GetOrBuildProducer(balancer.ProducerBuilder) (balancer.Producer, func()) {
	return nil, func() {}
}
