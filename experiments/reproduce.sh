#!/usr/bin/env bash
# From a fresh clone to a table of experiments/RESULTS.md: sets up, downloads, trains, writes.
#
#   experiments/reproduce.sh NAME [options of hsi sweep]      such as: experiments/reproduce.sh paper_tables
#
# NAME is a file experiments/NAME.toml. Scenes are looked for in HSI_DATA; those of the catalogue that are missing
# are downloaded. Every run is trained here, also those whose results the repository has; "git diff experiments"
# shows then what came out differently. It can be stopped and started again at any time.
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
missing=$("$bin/python" -m experiments.missing_scenes "experiments/$name.toml")
if [[ -n "$missing" ]]; then
    # shellcheck disable=SC2086  # one word a scene
    "$bin/hsi" download $missing
fi
"$bin/hsi" sweep "experiments/$name.toml" --rerun "$@"
for table in experiments/results/distance-"$name"-*.csv; do
    scene=${table#experiments/results/distance-"$name"-}
    folder=runs/sweeps/$name/${scene%.csv}
    if [[ -d $folder ]]; then
        "$bin/python" -m experiments.distances "$folder"
    fi
done
if [[ -f experiments/results/joined-$name.csv ]]; then
    "$bin/python" -m experiments.joined "runs/sweeps/$name"
fi
make --no-print-directory tables
