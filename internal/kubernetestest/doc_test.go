// Package kubernetestest checks the manifests in docs/kubernetes with the types of the API
// of Kubernetes. It is a module of its own, so that tusd does not depend on Kubernetes.
// cmd/tusd/cli checks the arguments of tusd in them.
package kubernetestest
