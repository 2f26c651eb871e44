#!/usr/bin/env bash
# From a fresh clone to a table of experiments/RESULTS.md: sets up, downloads, trains, writes.
#
#   experiments/reproduce.sh NAME [options of hsi sweep]      such as: experiments/reproduce.sh paper_tables
#
# NAME is a file experiments/NAME.toml. Scenes are looked for in HSI_DATA; those of the catalogue that are missing
# are downloaded. What is finished is not trained again, so it can be stopped and started at any time.
set -euo pipefail

cd "$(dirname "$0")/.."
if [[ $# -lt 1 || ! -f "experiments/$1.toml" ]]; then
    echo "usage: experiments/reproduce.sh NAME [options of hsi sweep]; NAME is one of:" >&2
    for file in experiments/*.toml; do
        [[ $file == */archive_cost.toml ]] || echo "  $(basename "$file" .toml)" >&2
    done
    exit 2
fi
name=$1
shift

make --no-print-directory setup
bin=${VENV:-.venv}/bin
missing=$("$bin/python" experiments/missing_scenes.py "experiments/$name.toml")
if [[ -n "$missing" ]]; then
    # shellcheck disable=SC2086  # one word a scene
    "$bin/hsi" download $missing
fi
"$bin/hsi" sweep "experiments/$name.toml" "$@"
make --no-print-directory tables
