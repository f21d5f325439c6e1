// Tells which endpoints of a Service kube-proxy would use on a Node, by kube-proxy's own code.
//
// Each line of the input is a case in JSON; each line of the output is the answer: for each IP
// family, the addresses that a client on that Node may use to reach the Service's virtual IP.
// The tests of Portolan ask it thousands of cases, and choose by themselves beside it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/proxy"
)

type question struct {
	Service v1.Service                `json:"service"`
	Slices  []discovery.EndpointSlice `json:"slices"`
	// The name of the Service's port.
	Port string `json:"port"`
	// The Node on which the client runs, and its labels.
	Node   string            `json:"node"`
	Labels map[string]string `json:"labels"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	questions := json.NewDecoder(lines)
	for questions.More() {
		var asked question
		if err := questions.Decode(&asked); err != nil {
			fmt.Fprintln(os.Stderr, "a case cannot be read:", err)
			os.Exit(1)
		}
		answer := map[v1.IPFamily][]string{}
		for _, family := range []v1.IPFamily{v1.IPv4Protocol, v1.IPv6Protocol} {
			answer[family] = reachable(family, &asked)
		}
		if err := answers.Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, "an answer cannot be written:", err)
			os.Exit(1)
		}
	}
}

// reachable does what each of kube-proxy's proxiers does, up to where it would write its rules.
func reachable(family v1.IPFamily, asked *question) []string {
	services := proxy.NewServiceChangeTracker(family, nil, nil)
	services.Update(nil, &asked.Service)
	ports := proxy.ServicePortMap{}
	ports.Update(services)

	endpoints := proxy.NewEndpointsChangeTracker(family, asked.Node, standard, nil)
	for i := range asked.Slices {
		endpoints.EndpointSliceUpdate(&asked.Slices[i], false)
	}
	known := proxy.EndpointsMap{}
	known.Update(endpoints)

	name := proxy.ServicePortName{
		NamespacedName: types.NamespacedName{Namespace: asked.Service.Namespace, Name: asked.Service.Name},
		Port:           asked.Port,
		Protocol:       v1.ProtocolTCP,
	}
	found := []string{}
	port, offered := ports[name]
	if !offered {
		return found
	}
	cluster, local, _, _ := proxy.CategorizeEndpoints(known[name], port, asked.Node, asked.Labels)
	chosen := cluster
	if port.InternalPolicyLocal() {
		chosen = local
	}
	for _, endpoint := range chosen {
		found = append(found, endpoint.String())
	}
	slices.Sort(found)
	return found
}

func standard(info *proxy.BaseEndpointInfo, _ *proxy.ServicePortName) proxy.Endpoint {
	return info
}
