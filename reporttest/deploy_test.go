package reporttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// The manifest is what Kubernetes takes it for: no field is unknown, none in the wrong case (which sigs.k8s.io/yaml would pass), and
// what the API server demands of an indexed Job that fails by index is there.
func TestTheManifestIsAJob(t *testing.T) {
	text, err := os.ReadFile("../deploy/kubernetes.yaml")
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSONStrict(text)
	require.NoError(t, err)
	var job batch.Job
	wrong, err := json.UnmarshalStrict(asJSON, &job)
	require.NoError(t, err)
	require.Empty(t, wrong)

	require.Equal(t, batch.IndexedCompletion, *job.Spec.CompletionMode)
	require.Equal(t, int32(1), *job.Spec.BackoffLimitPerIndex)
	require.Equal(t, core.RestartPolicyNever, job.Spec.Template.Spec.RestartPolicy)
	rules := job.Spec.PodFailurePolicy.Rules
	require.Equal(t, batch.PodFailurePolicyActionFailIndex, rules[0].Action)
	require.Equal(t, []int32{1}, rules[0].OnExitCodes.Values, "the exit code of a finding")
	container := job.Spec.Template.Spec.Containers[0]
	require.Equal(t, container.Name, *rules[0].OnExitCodes.ContainerName)
	require.Equal(t, batch.PodFailurePolicyActionIgnore, rules[1].Action)
	require.Equal(t, core.DisruptionTarget, rules[1].OnPodConditions[0].Type)
	require.Equal(t, core.ConditionTrue, rules[1].OnPodConditions[0].Status)
	require.Contains(t, container.Args, "auto/64")
	require.Equal(t, int32(64), *job.Spec.Completions, "as many as the shards")
}
