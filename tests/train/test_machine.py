"""What a training chooses on machines that are not at hand: each is a record, none is timed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.train import machine
from selfinstruct.train.arguments import check_settings, fit_here
from selfinstruct.train.attention import check_attention
from selfinstruct.train.data.encode import Encoded
from selfinstruct.train.data.encode_pairs import EncodedPair
from selfinstruct.train.fitting import Fit, pack_of
from selfinstruct.train.machine import Machine, this_machine
from selfinstruct.train.recipe import Examples, Job
from selfinstruct.train.recipes.dpo import DPO, DpoSettings
from selfinstruct.train.recipes.kto import KTO, KtoSettings
from selfinstruct.train.recipes.reward import REWARD, RewardSettings
from selfinstruct.train.recipes.rl_settings import RlSettings
from selfinstruct.train.recipes.sft import SFT, SftSettings

GB = 1_000_000_000
T4 = Machine(True, (7, 5), 15 * GB, False, frozenset({"flash-attn", "liger-kernel"}))
A100 = Machine(True, (8, 0), 79 * GB, True, frozenset({"flash-attn", "liger-kernel"}))
H100 = Machine(True, (9, 0), 79 * GB, True, frozenset({"flash-attn", "flash-attn-3"}))
PLAIN = Machine(True, (8, 9), 23 * GB, True, frozenset())
CPU = Machine(False, None, 16 * GB, True, frozenset({"flash-attn", "liger-kernel"}))

SETTINGS: dict[str, Any] = {
    "sft": SftSettings,
    "dpo": DpoSettings,
    "kto": KtoSettings,
    "reward": RewardSettings,
    "rl": RlSettings,
}
Use = Callable[[Machine], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Replace the machine; `use_cpu` still leaves its GPU alone."""

    def replace(here: Machine) -> None:
        def found(options: Any = None) -> Machine:
            return CPU if (options or {}).get("use_cpu") else here

        monkeypatch.setattr(machine, "this_machine", found)

    return replace


def rows(count: int, length: int = 100) -> Examples:
    row = Encoded("r", [1] * length, [-100] * (length // 2) + [1] * (length - length // 2))
    return Examples([row] * count, [row], {}, {})


def pairs(count: int, length: int = 100) -> Examples:
    pair = EncodedPair("p", [1] * (length // 2), [1] * (length // 2), [1] * (length // 2), 1.0)
    return Examples([pair] * count, [pair], {}, {})


def fit(model: LocalModel, examples: Examples, recipe: Any = SFT, **settings: Any) -> Fit:
    """The training without TRL's own checks, which want the real device."""
    how: Any = SETTINGS[recipe.name](**settings)
    job: Job[Any, Any] = Job(None, model, Path("out"), how)
    return fit_here(recipe, job, examples, dict(how.options or {}))


@pytest.mark.parametrize(
    ("here", "attention"),
    [
        (T4, "sdpa"),  # FlashAttention 2 wants Ampere
        (A100, "flash_attention_2"),
        (H100, "flash_attention_3"),
        (PLAIN, "sdpa"),
        (CPU, "sdpa"),
    ],
)
def test_attention_is_the_best_that_is_there(
    here: Machine, attention: str, use: Use, model: LocalModel
) -> None:
    use(here)
    assert fit(model, rows(20)).attention == attention


def test_kernels_of_the_hub_are_used_only_when_asked_for(use: Use, model: LocalModel) -> None:
    use(Machine(True, (8, 0), 79 * GB, True, frozenset({"kernels"})))
    assert fit(model, rows(20)).attention == "sdpa"
    name = "kernels-community/flash-attn2"
    check_attention(name)
    assert fit(model, rows(20), attention=name).attention == name


def test_flash_attention_is_not_given_float32(use: Use, model: LocalModel) -> None:
    """Autocast makes 16 bits of weights in float32; a recipe that runs them without it has sdpa."""
    use(A100)
    assert fit(model, rows(20), method="full").attention == "flash_attention_2"
    assert fit(model, rows(20), method="full", options={"bf16": False}).attention == "sdpa"
    assert fit(model, pairs(20), DPO).attention == "flash_attention_2"
    assert fit(model, pairs(20), DPO, method="full").attention == "sdpa"
    assert fit(model, pairs(20), REWARD).attention == "sdpa"
    float32 = {"model_init_kwargs": {"dtype": "float32"}}
    assert fit(model, pairs(20), DPO, options=float32).attention == "sdpa"


@pytest.mark.parametrize("here", [A100, CPU])
def test_the_users_attention_wins(here: Machine, use: Use, model: LocalModel) -> None:
    use(here)
    assert fit(model, rows(20), attention="eager").attention == "eager"
    field = {"model_init_kwargs": {"attn_implementation": "flex_attention"}}
    assert fit(model, rows(20), attention="eager", options=field).attention == "flex_attention"


def test_attention_needs_its_package(use: Use) -> None:
    use(A100)
    check_attention("flash_attention_2")
    with pytest.raises(ConfigError, match="needs the package flash-attn-3, which is not installed"):
        check_attention("flash_attention_3")
    with pytest.raises(ConfigError, match="needs the package kernels"):
        check_attention("kernels-community/flash-attn2")


@pytest.mark.parametrize(
    ("count", "attention", "expected"),
    [
        (100, "flash_attention_2", (1024, 1)),  # 10,000 tokens: steps as on a CPU
        (2_000, "flash_attention_2", (4000, 1)),  # a fiftieth
        (5_000, "kernels-community/flash-attn2", (10_000, 1)),
        (100_000, "flex_attention", (16_384, 1)),
        (100_000, "sdpa", (2048, 8)),  # as many tokens in a step
        (2_000, "eager", (2048, 2)),
    ],
)
def test_packs_on_a_gpu(count: int, attention: str, expected: tuple[int, int]) -> None:
    assert pack_of([100] * count, 100, 1, A100, attention) == expected


def test_packs_share_a_step(use: Use, model: LocalModel) -> None:
    """Processes, and batches of several packs, share the tokens of a step; a long row has room."""
    two = Machine(True, (8, 0), 79 * GB, True, A100.packages, processes=4)
    assert pack_of([100] * 20_000, 100, 1, two, "flash_attention_2") == (10_000, 1)
    assert pack_of([100] * 20_000, 100, 4, A100, "flash_attention_2") == (4096, 1)
    assert pack_of([100] * 20_000, 9000, 1, A100, "sdpa") == (9000, 2)
    use(A100)
    arguments = fit(model, rows(20_000)).arguments
    assert (arguments["max_length"], arguments["gradient_accumulation_steps"]) == (16_384, 1)
    assert arguments["packing"] is True
    padded = fit(model, rows(200), options={"packing": False}).arguments
    assert padded["per_device_train_batch_size"] == 8


def test_a_cpu_keeps_short_packs(use: Use, model: LocalModel) -> None:
    use(CPU)
    arguments = fit(model, rows(2_000)).arguments
    assert (arguments["max_length"], arguments["gradient_accumulation_steps"]) == (512, 2)


def small(memory: int, here: Machine = A100) -> Machine:
    """A machine that may plan with so many bytes."""
    return Machine(here.gpu, here.capability, -(-memory * 10 // 9), here.bfloat16, here.packages)


@pytest.mark.parametrize("here", [A100, CPU])
def test_checkpointing_is_on_only_where_memory_needs_it(
    here: Machine, use: Use, model: LocalModel, caplog: pytest.LogCaptureFixture
) -> None:
    many = rows(1_000)
    use(here)
    plenty = fit(model, many)
    assert plenty.arguments["gradient_checkpointing"] is False
    assert plenty.memory is not None
    use(small(plenty.memory.training, here))
    assert fit(model, many).arguments["gradient_checkpointing"] is False
    use(small(plenty.memory.training - 1_000, here))
    with caplog.at_level(logging.WARNING):
        short = fit(model, many)
    assert short.arguments["gradient_checkpointing"] is True
    assert short.memory is not None
    assert short.memory.training < plenty.memory.training
    assert "gradient checkpointing is on: without it the training takes about" in caplog.text
    off = fit(model, many, options={"gradient_checkpointing": False})
    assert off.arguments["gradient_checkpointing"] is False


def test_packs_are_smaller_where_memory_needs_it(use: Use, model: LocalModel) -> None:
    many = rows(20_000)
    use(A100)
    once = {"gradient_checkpointing": True}
    whole = fit(model, many, options=once)
    assert whole.memory is not None
    use(small(whole.memory.training - 1_000))
    halved = fit(model, many, options=once)
    fields = halved.arguments
    assert (fields["max_length"], fields["gradient_accumulation_steps"]) == (8192, 2)
    assert halved.fits
    assert halved.batch.length == 8192
    use(small(1_000))  # nothing fits: packs no shorter than a step of the smallest data
    fields = fit(model, many).arguments
    assert (fields["max_length"], fields["gradient_accumulation_steps"]) == (1024, 16)
    kept = fit(model, many, options={"gradient_accumulation_steps": 1}).arguments
    assert kept["max_length"] == 16_384


def test_a_model_of_unknown_shape_is_checkpointed_on_a_gpu(
    use: Use, model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise ValueError("no such architecture")

    monkeypatch.setattr("selfinstruct.train.fitting.network_shape", unknown)
    for here in (A100, CPU):
        use(here)
        found = fit(model, rows(20))
        assert found.memory is None
        assert found.arguments["gradient_checkpointing"] is here.gpu
        chosen = {"gradient_checkpointing": not here.gpu}
        assert fit(model, rows(20), options=chosen).arguments == {**found.arguments, **chosen}


def test_liger_is_used_where_it_is_there(use: Use, model: LocalModel) -> None:
    use(A100)
    assert fit(model, rows(20)).arguments["use_liger_kernel"] is True
    assert fit(model, pairs(20), DPO).arguments["use_liger_kernel"] is True
    assert "use_liger_kernel" not in fit(model, pairs(20), REWARD).arguments
    off = {"use_liger_kernel": False}
    assert fit(model, rows(20), options=off).arguments["use_liger_kernel"] is False
    other = {"model_init_kwargs": {"use_kernels": True}}
    assert "use_liger_kernel" not in fit(model, rows(20), options=other).arguments
    for here in (PLAIN, CPU):
        use(here)
        assert "use_liger_kernel" not in fit(model, rows(20)).arguments


def test_the_optimizer_is_fused() -> None:
    """TRL's own default, which no recipe changes."""
    for recipe in (SFT, DPO, KTO, REWARD):
        config_class, _ = recipe.classes()
        assert config_class(output_dir="out", use_cpu=True).optim == "adamw_torch_fused"


def test_bfloat16_is_used_where_it_is_fast(use: Use, model: LocalModel) -> None:
    for here, expected in ((T4, False), (A100, True), (CPU, True)):
        use(here)
        arguments = fit(model, rows(20)).arguments
        assert (arguments["bf16"], arguments["use_cpu"]) == (expected, not here.gpu)
    assert fit(model, rows(20), options={"fp16": True}).arguments["bf16"] is False


def test_a_gpu_can_be_left_alone(use: Use, model: LocalModel) -> None:
    use(A100)
    found = fit(model, rows(2_000), options={"use_cpu": True})
    assert found.attention == "sdpa"
    assert found.arguments["max_length"] == 512
    assert found.arguments["use_cpu"] is True
    assert "use_liger_kernel" not in found.arguments


def test_this_machine_asks_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queries themselves, answered as a GPU of the Turing kind does."""
    import torch

    asked: list[Any] = []

    def bfloat16(*, including_emulation: bool) -> bool:
        asked.append(including_emulation)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (device * GB, 16 * GB))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", bfloat16)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    found = this_machine()
    assert (found.gpu, found.capability, found.memory) == (True, (7, 5), 3 * GB)
    assert (found.bfloat16, found.processes, found.usable) == (False, 4, int(2.7 * GB))
    assert asked == [False]  # an emulation is slower than float32
    assert this_machine({"use_cpu": True}).gpu is False


def test_processes_on_a_cpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = this_machine({"use_cpu": True}).memory
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert this_machine({"use_cpu": True}).memory == pytest.approx(alone / 4, rel=0.2)


def test_options_are_checked_for_the_machine(use: Use) -> None:
    """QLoRA needs a GPU with bitsandbytes."""
    use(A100)
    with pytest.raises(ConfigError, match="--load-in-4bit: needs a GPU and the bitsandbytes"):
        check_settings(SFT, SftSettings(method="qlora"))
