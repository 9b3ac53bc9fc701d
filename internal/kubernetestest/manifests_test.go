package kubernetestest

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// decoder refuses unknown and repeated fields, wrong types of values, and objects of other
// kinds.
func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// decode decodes an object in YAML.
func decode(t *testing.T, text []byte) (runtime.Object, error) {
	t.Helper()
	object, _, err := decoder(t).Decode(text, nil, nil)
	return object, err
}

// set is the objects of all manifests.
type set struct {
	pods     map[string]*core.PodTemplateSpec // of Deployments and StatefulSets, by name
	services map[string]*core.Service
	ingress  *networking.Ingress
	budgets  []*policy.PodDisruptionBudget
	accounts []string
}

func manifests(t *testing.T) set {
	t.Helper()
	names, err := filepath.Glob("../../docs/kubernetes/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no manifests: %v", err)
	}
	s := set{pods: make(map[string]*core.PodTemplateSpec), services: make(map[string]*core.Service)}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for part := range bytes.SplitSeq(text, []byte("\n---\n")) {
			object, err := decode(t, part)
			if err != nil {
				t.Errorf("%s: %v", filepath.Base(name), err)
				continue
			}
			s.add(t, object)
		}
	}
	return s
}

func (s *set) add(t *testing.T, object runtime.Object) {
	t.Helper()
	name := object.(meta.Object).GetName()
	if problems := validation.IsDNS1035Label(name); problems != nil {
		t.Errorf("the name %q: %s", name, problems)
	}
	switch object := object.(type) {
	case *apps.Deployment:
		s.addPods(t, name, object.Spec.Selector, &object.Spec.Template)
	case *apps.StatefulSet:
		s.addPods(t, name, object.Spec.Selector, &object.Spec.Template)
	case *core.Service:
		s.services[name] = object
	case *networking.Ingress:
		s.ingress = object
	case *policy.PodDisruptionBudget:
		s.budgets = append(s.budgets, object)
	case *core.ServiceAccount:
		s.accounts = append(s.accounts, name)
	default:
		t.Errorf("%s is a %T", name, object)
	}
}

func (s *set) addPods(t *testing.T, name string, selector *meta.LabelSelector, pods *core.PodTemplateSpec) {
	t.Helper()
	if !selects(t, selector, pods) {
		t.Errorf("%s does not select its own pods", name)
	}
	s.pods[name] = pods
}

func selects(t *testing.T, selector *meta.LabelSelector, pods *core.PodTemplateSpec) bool {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(pods.Labels))
}

// Fields that do not exist, are written twice or have another type, are refused.
func TestDecoderIsStrict(t *testing.T) {
	for _, wrong := range []string{
		"apiVersion: v1\nkind: Service\nspec:\n  selectors: {}\n",
		"apiVersion: v1\nkind: Service\nspec:\n  Selector: {}\n",
		"apiVersion: v1\nkind: Service\nspec:\n  ports: 80\n",
		"apiVersion: v1\nkind: Service\nspec: {}\nspec: {}\n",
		"apiVersion: v1beta1\nkind: Service\n",
	} {
		if _, err := decode(t, []byte(wrong)); err == nil {
			t.Errorf("accepted:\n%s", wrong)
		}
	}
}

// All objects are what Kubernetes knows, and refer to each other.
func TestManifestsFitTogether(t *testing.T) {
	s := manifests(t)
	for _, name := range []string{"tusd", "redis"} {
		pods, service := s.pods[name], s.services[name]
		if pods == nil || service == nil {
			t.Fatalf("%s has no pods or no Service", name)
		}
		if !selects(t, &meta.LabelSelector{MatchLabels: service.Spec.Selector}, pods) {
			t.Errorf("the Service %s does not select its pods", name)
		}
		for _, port := range service.Spec.Ports {
			if containerPort(t, pods, port.TargetPort) == 0 {
				t.Errorf("the Service %s leads to the port %v, which no container has", name, &port.TargetPort)
			}
		}
	}
	if len(s.budgets) != 1 || !selects(t, s.budgets[0].Spec.Selector, s.pods["tusd"]) {
		t.Error("there is no PodDisruptionBudget for tusd")
	}
	if account := s.pods["tusd"].Spec.ServiceAccountName; len(s.accounts) != 1 || s.accounts[0] != account {
		t.Errorf("the ServiceAccounts are %q, want %q", s.accounts, account)
	}
	backend := s.ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
	service := s.services[backend.Name]
	if service == nil || service.Spec.Ports[0].Port != backend.Port.Number {
		t.Errorf("the Ingress leads to %s, port %d", backend.Name, backend.Port.Number)
	}
}

// The arguments of tusd lead to the ports of the containers and to the Redis here.
func TestArgumentsFitPorts(t *testing.T) {
	s := manifests(t)
	tusd := s.pods["tusd"]
	args := arguments(tusd)
	if want := containerPort(t, tusd, intstr.FromString("uploads")); args["port"] != want.String() {
		t.Errorf("-port is %s, want %s", args["port"], want)
	}
	if want := ":" + containerPort(t, tusd, intstr.FromString("admin")).String(); args["admin-listen"] != want {
		t.Errorf("-admin-listen is %s, want %s", args["admin-listen"], want)
	}
	redis := s.services["redis"]
	if want := "redis://" + redis.Name + ":" + number(redis.Spec.Ports[0].Port).String(); args["redis-url"] != want {
		t.Errorf("-redis-url is %s, want %s", args["redis-url"], want)
	}
	container := tusd.Spec.Containers[0]
	if mount := container.VolumeMounts[0]; filepath.Dir(args["redis-password-file"]) != mount.MountPath || mount.Name != tusd.Spec.Volumes[0].Name {
		t.Errorf("the secret is mounted at %s", mount.MountPath)
	}
	for _, probe := range []*core.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if containerPort(t, tusd, probe.HTTPGet.Port) != containerPort(t, tusd, intstr.FromString("admin")) {
			t.Errorf("a probe uses the port %v", &probe.HTTPGet.Port)
		}
	}
}

// Nothing runs as root or writes to its image, and every pod has its memory.
func TestPodsAreRestricted(t *testing.T) {
	for name, pods := range manifests(t).pods {
		if pods.Spec.EnableServiceLinks == nil || *pods.Spec.EnableServiceLinks {
			t.Errorf("%s: Kubernetes sets variables that look like flags", name)
		}
		if c := pods.Spec.SecurityContext; c == nil || !is(c.RunAsNonRoot) || c.RunAsUser == nil || *c.RunAsUser == 0 ||
			c.SeccompProfile == nil || c.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s may run as root, or with all system calls", name)
		}
		for _, container := range pods.Spec.Containers {
			c := container.SecurityContext
			if c == nil || !is(c.ReadOnlyRootFilesystem) || c.AllowPrivilegeEscalation == nil || is(c.AllowPrivilegeEscalation) ||
				c.Capabilities == nil || len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" {
				t.Errorf("%s: the container %s may do too much", name, container.Name)
			}
			if container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: the container %s has no memory", name, container.Name)
			}
			if strings.HasSuffix(container.Image, ":latest") || !strings.Contains(container.Image, ":") {
				t.Errorf("%s: the image %s has no version", name, container.Image)
			}
		}
	}
}

// docs/proxies.md shows the same Ingress.
func TestIngressIsThatOfTheProxies(t *testing.T) {
	page, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```yaml\n(apiVersion: networking.*?)^```$").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/proxies.md has no Ingress")
	}
	documented, err := decode(t, block[1])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(documented, runtime.Object(manifests(t).ingress)) {
		t.Error("the Ingress in docs/proxies.md is another one")
	}
}

func is(value *bool) bool { return value != nil && *value }

// number is the number of a port.
type number int32

func (n number) String() string { p := intstr.FromInt32(int32(n)); return p.String() }

// containerPort returns the number of a port of a container; 0: there is none.
func containerPort(t *testing.T, pods *core.PodTemplateSpec, port intstr.IntOrString) number {
	t.Helper()
	for _, p := range pods.Spec.Containers[0].Ports {
		if port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal {
			return number(p.ContainerPort)
		}
	}
	return 0
}

// arguments returns the flags of the first container by name.
func arguments(pods *core.PodTemplateSpec) map[string]string {
	found := make(map[string]string)
	for _, arg := range pods.Spec.Containers[0].Args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		found[name] = value
	}
	return found
}
