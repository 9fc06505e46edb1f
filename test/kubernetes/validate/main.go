// Command validate reads YAML objects on its standard input and says what Istio itself has against them, as its webhook would. It exits with 1 when there is an error or a warning, or an object that Istio does not know;
// core objects, such as secrets, are passed over.
package main

import (
	"fmt"
	"io"
	"os"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/schema/collections"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	objects, others, err := crd.ParseInputs(string(text))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	wrong := false
	for _, o := range others {
		if o.APIVersion != "v1" {
			fmt.Println("not known:", o.APIVersion, o.Kind, o.Name)
			wrong = true
		}
	}
	for _, o := range objects {
		schema, ok := collections.PilotGatewayAPI().FindByGroupVersionKind(o.GroupVersionKind)
		if !ok {
			fmt.Println("not known:", o.GroupVersionKind, o.Name)
			wrong = true
			continue
		}
		if warning, err := schema.ValidateConfig(o); warning != nil || err != nil {
			fmt.Printf("%s %s/%s: %v%v\n", o.GroupVersionKind.Kind, o.Namespace, o.Name, warning, err)
			wrong = true
		}
	}
	if wrong {
		os.Exit(1)
	}
	fmt.Println(len(objects), "objects are right")
}
