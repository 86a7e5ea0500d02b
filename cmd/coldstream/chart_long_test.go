//go:build long

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"coldstream/internal/testproc"
)

// TestChartIsWhatHelmTakes: helm lints it and renders it, with all that can be asked for, and what comes
// out is whole.
func TestChartIsWhatHelmTakes(t *testing.T) {
	helm, err := testproc.GoInstall(t.Context(), testproc.GoProgram{Package: "helm.sh/helm/v3/cmd/helm", Version: "v3.22.0"})
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) ([]byte, error) {
		var stderr bytes.Buffer
		cmd := exec.Command(helm, args...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		t.Logf("helm %v: %v\n%s", args, err, &stderr)
		return out, err
	}
	all := []string{
		"--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,initVault=true,secretEnv={aws},secretFiles=kafka-login,persistence.storageClassName=fast",
		"--set", "serviceMonitor.labels.release=prometheus,podAnnotations.a=b,imagePullSecrets[0].name=pull,nodeSelector.disk=ssd",
		"--set", "serviceAccount.annotations.role=r",
	}
	for _, set := range [][]string{nil, all} {
		if out, err := run(append([]string{"lint", "--strict", chart}, set...)...); err != nil {
			t.Errorf("lint: %s", out)
		}
	}
	if _, err := run("template", "x", chart, "--set", "persistance.enabled=false"); err == nil {
		t.Error("a value that is not known was taken")
	}
	for _, c := range []struct {
		set  []string
		want map[string]int
	}{
		{[]string{"--set", "persistence.enabled=false"}, map[string]int{"ConfigMap": 1, "ServiceAccount": 1, "Service": 1, "StatefulSet": 1}},
		{all, map[string]int{"ConfigMap": 1, "ServiceAccount": 1, "Service": 1, "StatefulSet": 1, "ServiceMonitor": 1, "PrometheusRule": 1}},
	} {
		out, err := run(append([]string{"template", "backup", chart, "--namespace", "kafka", "--kube-version", "1.30.0"}, c.set...)...)
		if err != nil {
			t.Errorf("template: %v", err)
			continue
		}
		same(t, "what is made", renderedChart(t, out), c.want)
	}
}

// renderedChart counts objects by kind, and looks at what matters in them.
func renderedChart(t *testing.T, text []byte) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var object struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
			Spec struct {
				Groups   []struct{ Rules []map[string]any } `yaml:"groups"`
				Template struct {
					Spec struct {
						SecurityContext struct {
							RunAsNonRoot bool `yaml:"runAsNonRoot"`
						} `yaml:"securityContext"`
						InitContainers []chartContainer `yaml:"initContainers"`
						Containers     []chartContainer `yaml:"containers"`
					} `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		}
		if err := decoder.Decode(&object); err != nil {
			return kinds
		}
		if object.Kind == "" {
			continue
		}
		kinds[object.Kind]++
		switch object.Kind {
		case "ConfigMap":
			file := filepath.Join(t.TempDir(), "config.yaml")
			write(t, file, object.Data["config.yaml"])
			command(t, nil, "config", "check", file).must(t, exitDone)
		case "PrometheusRule":
			if len(object.Spec.Groups) != 1 || len(object.Spec.Groups[0].Rules) < 12 {
				t.Errorf("rules: %+v", object.Spec.Groups)
			}
		case "StatefulSet":
			pod := object.Spec.Template.Spec
			if !pod.SecurityContext.RunAsNonRoot || len(pod.Containers) != 1 {
				t.Errorf("pod: %+v", pod)
			}
			for _, c := range append(pod.InitContainers, pod.Containers...) {
				if !c.SecurityContext.ReadOnly || len(c.Mounts) < 2 || len(c.Args) < 2 {
					t.Errorf("container: %+v", c)
				}
			}
		}
	}
}

type chartContainer struct {
	Args            []string         `yaml:"args"`
	Mounts          []map[string]any `yaml:"volumeMounts"`
	SecurityContext struct {
		ReadOnly bool `yaml:"readOnlyRootFilesystem"`
	} `yaml:"securityContext"`
}
