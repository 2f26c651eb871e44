"""`hsi split`: make a split and show what it is, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from hsi.commands import options as o
from hsi.commands.options import option
from hsi.config import SPLIT_OPTIONS


@o.config_options(
    "dataset", "labels", "cube_key", "labels_key", "test_scene", "protocol", "preset", *SPLIT_OPTIONS[:-1],
    "seed", "patch",
)  # fmt: skip
def split(
    options: dict[str, Any],
    out: Annotated[
        Path | None, option("Run", "Write the split here (NAME.npz), for hsi train --split.", metavar="FILE")
    ] = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Split labelled pixels into train, val and test, and show the leakage, without training.

    The same options give the same split as in hsi train: by default the papers' random one for a named
    benchmark scene, and separate regions for any other.

    \b
      hsi split --dataset IN --protocol disjoint
      hsi split --dataset UP --scheme random --train 0.1 --val 0.1 --patch 9
      hsi split --dataset IN --protocol disjoint --guard drop --out in.npz
      hsi split --dataset IN --folds 5 --fold 0
      hsi split --dataset IN --split-mask dase
      hsi split --dataset june.toml --dataset july.toml --test-scene august.toml
    """
    import numpy as np

    from hsi.commands import screen
    from hsi.commands import screen as results
    from hsi.config import resolve_config
    from hsi.datasets.mosaic import load_scenes
    from hsi.datasets.parts import part_windows
    from hsi.training.context import resolve_split

    # The network of the config is not looked at: the split is the same for every one.
    config = resolve_config({"model": "densenet3d", **options})
    scene = load_scenes(
        config.dataset,
        test_scene=config.test_scene,
        labels=config.labels,
        cube_key=config.cube_key,
        labels_key=config.labels_key,
        data_root=data_root,
    )
    made = resolve_split(config, scene, data_root)
    if out is not None:
        made.save(out)
    parts = {"train": made.train, "val": made.val, "test": made.test}
    per_part = {
        part: np.bincount(scene.labels.ravel()[pixels], minlength=scene.classes + 1)[1:].tolist()
        for part, pixels in parts.items()
    }
    by_scene = [
        {
            "name": image.name,
            "labelled": int((scene.labels[window] > 0).sum()),
            **{part: int((made.parts.ravel()[pixels] == number).sum()) for part, pixels in parts.items()},
        }
        for number, (image, window) in enumerate(
            zip(scene.parts, part_windows(scene.parts), strict=True), start=1
        )
        if made.parts is not None
    ]
    leakage = made.leakage(config.patch)
    figures = {"centre": leakage.centre, "overlap": leakage.overlap}
    for sentence in (*scene.notes, *made.notes):
        screen.note(sentence)
    if json:
        screen.print_json(
            {
                "dataset": scene.name,
                "scheme": made.scheme,
                "guard": made.guard,
                "folds": made.folds,
                "fold": made.fold,
                "split_mask": config.split_mask,
                "seed": config.seed,
                "patch": config.patch,
                "counts": {part: len(pixels) for part, pixels in parts.items()},
                "per_class": per_part,
                "class_names": list(scene.class_names),
                **({"scenes": by_scene} if by_scene else {}),
                "leakage": figures,
                "notes": list(made.notes),
                "out": None if out is None else str(out),
            }
        )
        return
    columns = [("class", True), ("name", False), ("labelled", True), *((part, True) for part in parts)]
    rows: list[list[object]] = [
        [number, name, scene.counts[number - 1], *(per_part[part][number - 1] for part in parts)]
        for number, name in enumerate(scene.class_names, start=1)
    ]
    rows.append(["", "all", sum(scene.counts), *(len(pixels) for pixels in parts.values())])
    which = "" if made.folds is None else f" (fold {made.fold} of {made.folds}, counted from 0)"
    which = f" ({config.split_mask})" if config.split_mask else which
    title = f"{scene.name}, {made.scheme} split{which}, patch {config.patch}, seed {config.seed}"
    screen.out().print(screen.table(title, columns, rows))
    if by_scene:
        of = [("scene", False), *((name, True) for name in ("labelled", *parts))]
        screen.out().print(screen.table("By scene", of, (one.values() for one in by_scene)))
    screen.out().print(results.leakage_sentence(figures), highlight=False)
    if out is not None:
        screen.out().print(f"Split: {out}", highlight=False, markup=False, soft_wrap=True)
