"""Two hosts are one: gradients, ends, another number of them."""

import logging
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from network_namespaces import places
from other_host import free_port, gradients_of_job, other_host
from small_training import (
    NO_DROPOUT,
    QUICK,
    Interrupted,
    StopAfter,
    gradients,
    listening_sockets,
    manifest_of,
    run,
    wells,
)

from morphoclip.errors import InputError
from morphoclip.terminal.worker import worker
from morphoclip.training.checkpoints import (
    SECONDS_BETWEEN_CHECKPOINTS,
    CheckpointStore,
    RunCheckpoints,
)
from morphoclip.training.config import TrainingConfig
from morphoclip.training.distributed import ALONE
from morphoclip.training.fine_tuning import refuse_parts_beside_towers
from morphoclip.training.hosts import gathering
from morphoclip.training.hosts import store as host_store
from morphoclip.training.hosts import watch as host_watch
from morphoclip.training.hosts.lead_and_follow import lead
from morphoclip.training.hosts.notes import Begun, End, FileSent, Hello, Note, Place, Run, Sign
from morphoclip.training.hosts.rendezvous import Address
from morphoclip.training.hosts.store import HostStore, StoreClosed
from morphoclip.training.job import TrainingJob
from morphoclip.training.trainer import train


def on_two_hosts(address: str, **changes: object) -> TrainingConfig:
    rendezvous = {"address": address, "trusted_network": True, "patience": 60}
    changed = {"nodes": 2, "rendezvous": rendezvous} | changes
    return TrainingConfig.model_validate(QUICK.model_dump() | changed)


def test_two_hosts_have_the_gradients_of_one(tmp_path) -> None:
    data = wells()
    loss, alone = gradients(ALONE, "cpu", data, QUICK)
    with places(1) as (own, [elsewhere]):
        address = f"{own.address}:{free_port(own.address)}"
        config = on_two_hosts(address, loss={"name": "cwcl", "target_weight": 0.5})
        loss, alone = gradients(ALONE, "cpu", data, config)
        job = TrainingJob(
            manifest_of(data), NO_DROPOUT, config, RunCheckpoints(tmp_path / "r"), print
        )
        with other_host(address, tmp_path / "other", work="gradients", place=elsewhere):
            other_loss, together = lead(gradients_of_job, "cpu", data, job)
    assert other_loss == pytest.approx(loss, abs=1e-6)
    assert sorted(together) == sorted(alone)
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, atol=1e-6, rtol=1e-6)


NO_LOG = StopAfter(None)


class SignalAfter:
    """A log that sends a signal to a group of processes once epochs have been saved; pickles."""

    def __init__(self, group: int, sign: int) -> None:
        self.group, self.sign, self.since = group, sign, 0.0

    def __call__(self, *_: object) -> None:
        self.since = self.since or time.monotonic()
        if time.monotonic() - self.since > SECONDS_BETWEEN_CHECKPOINTS + 2:
            os.killpg(self.group, self.sign)
            self.since = math.inf


class EpochsUntil:
    """A log that remembers epochs, and stops after so many."""

    def __init__(self, number: int) -> None:
        self.number, self.epochs = number, []

    def __call__(self, epoch: int, _: object) -> None:
        self.epochs.append(epoch)
        if len(self.epochs) == self.number:
            raise Interrupted


def train_on(config: TrainingConfig, folder, log=NO_LOG):
    data = wells()
    return train(data, manifest_of(data), NO_DROPOUT, config, CheckpointStore(folder), log)


@pytest.mark.slow
def test_two_hosts_train_the_model_of_one_one_training_after_another(tmp_path) -> None:
    one = run(tmp_path / "one", model=NO_DROPOUT)
    with places(1) as (own, [elsewhere]):
        address = f"{own.address}:{free_port(own.address)}"
        with other_host(address, tmp_path / "other", place=elsewhere) as other:
            first = train_on(on_two_hosts(address), tmp_path / "first")
            second = train_on(on_two_hosts(address), tmp_path / "second")
            status, said = other.said()
    pd.testing.assert_frame_equal(one.history, first.history, atol=2e-3, rtol=2e-3)
    pd.testing.assert_frame_equal(first.history, second.history)
    assert status == 0, said
    assert said.endswith("done 2\n")
    assert not list((tmp_path / "other").rglob("*.pt"))  # checkpoints: the leading host's alone


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_host_that_dies_or_falls_silent_ends_the_training_and_one_goes_on(
    sign, tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(host_watch, "SECONDS_OF_SILENCE", 8.0)
    with places(1) as (own, [elsewhere]):
        address = f"{own.address}:{free_port(own.address)}"
        many = on_two_hosts(address, epochs=100_000, early_stopping={"patience": 100_000})
        with other_host(address, tmp_path / "other", place=elsewhere) as other:
            log = SignalAfter(other.process.pid, sign)
            with pytest.raises(InputError, match=r"host 2 of this training is gone") as raised:
                train_on(many, tmp_path / "run", log)
    assert "training.resume:true goes on" in str(raised.value)
    assert not list((tmp_path / "run").rglob("processes"))
    alone = many.model_copy(update={"nodes": 1, "resume": True})
    log = EpochsUntil(2)
    caplog.set_level(logging.INFO)
    with pytest.raises(Interrupted):
        train_on(alone, tmp_path / "run", log)
    assert log.epochs[0] > 1
    assert "2 process(es) trained until epoch" in caplog.text


@pytest.mark.slow
def test_a_leading_host_that_is_killed_ends_the_others_with_a_sentence(tmp_path) -> None:
    with places(1) as (own, [elsewhere]):
        address = f"{own.address}:{free_port(own.address)}"
        leader = multiprocessing.get_context("spawn").Process(
            target=lead_for_ever, args=(address, tmp_path / "run")
        )
        with other_host(address, tmp_path / "other", place=elsewhere) as other:
            leader.start()
            while not list((tmp_path / "run").rglob("last.pt")):
                assert leader.is_alive()
                time.sleep(0.2)
            leader.kill()
            status, said = other.said()
            leader.join()
    assert status == 1
    assert "the leading host of this training is gone: it died or cannot be reached" in said
    assert "training.resume:true goes on" in said


def lead_for_ever(address: str, folder) -> None:
    many = on_two_hosts(address, epochs=100_000, early_stopping={"patience": 100_000})
    train_on(many, folder)


def test_hosts_meet_on_a_named_interface(tmp_path) -> None:
    data = wells()

    def sentence(address: str | None, *, trusted: bool = True, patience: float = 1) -> str:
        rendezvous = {"address": address, "trusted_network": trusted, "patience": patience}
        config = on_two_hosts("", rendezvous=rendezvous)
        run_of = RunCheckpoints(tmp_path / "r")
        job = TrainingJob(manifest_of(data), NO_DROPOUT, config, run_of, StopAfter(None))
        with pytest.raises(InputError) as raised:
            lead(gradients_of_job, "cpu", data, job)
        return str(raised.value)

    assert "training.rendezvous.address" in sentence(None)
    assert "would listen on every interface" in sentence("0.0.0.0:29411")
    assert "would listen on every interface" in sentence("[::]:29411")
    assert "is no host:port" in sentence("29411")
    assert "is no host:port" in sentence("localhost:70000")
    assert "there is no host" in sentence("no-such-host.invalid:29411")
    assert "no interface of this machine has the address" in sentence("192.0.2.1:29411")
    assert "would listen on every interface" in sentence("[::ffff:0.0.0.0]:29411")
    assert "would listen on every interface" in sentence("224.0.0.1:29411")
    assert "there is no host 10.0.0..5" in sentence("10.0.0..5:29411")
    assert "is no host:port" in sentence("localhost:" + "1" * 200)
    assert "trusted_network:true" in sentence("192.0.2.1:29411", trusted=False)
    port = free_port("127.0.0.1")
    late = sentence(f"127.0.0.1:{port}", trusted=False)
    assert f"1 of 1 hosts did not come to 127.0.0.1:{port} within 1 s" in late
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Address already in use" in sentence(f"127.0.0.1:{taken.getsockname()[1]}")


def test_the_store_listens_on_its_address_alone() -> None:
    port = free_port("127.0.0.1")
    store = HostStore.serve(Address("127.0.0.1", port), trusted=False)
    listening = [one for one in listening_sockets() if one[1] == port]
    assert [address for address, _ in listening] == ["0100007F"]
    store.say("a", End(kind="sentence", text="\x1b[31mred"))
    assert store.another().hear("a", End).text == "?[31mred"
    assert store.hear("b", End) is None
    del store
    with pytest.raises(StoreClosed):
        HostStore.connect(Address("127.0.0.1", port))


def test_files_arrive_as_they_were_sent_and_are_not_sent_twice(tmp_path) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(os.urandom(30_000_000))
    store = HostStore.serve(Address("127.0.0.1", free_port("127.0.0.1")), trusted=False)
    written = []
    with ThreadPoolExecutor() as threads:
        for name in ("once", "again"):
            receivers = [store.another() for _ in range(2)]
            coming = [
                threads.submit(receiver.receive_file, name, tmp_path / str(n), lambda: None)
                for n, receiver in enumerate(receivers)
            ]
            store.send_file(name, sent, 2, lambda: None)
            paths = [future.result() for future in coming]
            assert all(path.read_bytes() == sent.read_bytes() for path in paths)
            written.append([path.stat().st_mtime_ns for path in paths])
    assert written[0] == written[1]


STRANGE = ["x", "[1]", "{}", "null", "[" * 100_000, '{"nodes": null, "run": "r"}', '{"size": -5}']


@pytest.mark.parametrize("kind", [Run, Begun, End, FileSent, Hello, Place, Sign])
def test_a_strangers_note_of_another_shape_is_none(kind: type[Note]) -> None:
    store = HostStore.serve(Address("127.0.0.1", free_port("127.0.0.1")), trusted=False)
    for text in STRANGE:
        store._set("note", text.encode())
        assert store.hear("note", kind) is None
    store.take_back("note")
    assert store.hear("note", kind) is None


def test_a_port_that_answers_nothing_is_no_store(monkeypatch) -> None:
    monkeypatch.setattr(host_store, "_SECONDS_TO_ANSWER", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(StoreClosed, match="no answer for 1 s"):
            HostStore.connect(Address("127.0.0.1", silent.getsockname()[1]))


def test_a_place_whose_worker_leaves_or_never_signs_is_free_again(monkeypatch) -> None:
    monkeypatch.setattr(gathering, "SECONDS_OF_SILENCE", 1.0)
    address = Address("127.0.0.1", free_port("127.0.0.1"))
    store = HostStore.serve(address, trusted=False)
    store.say("run", Run(run="r", nodes=2))
    assert gathering.place_in(store.another(), "silent") == 1
    assert gathering.place_in(store.another(), "second") is None
    assert gathering.place_in(store.another(), "silent") == 1, "its own place stays its own"
    rendezvous = {"address": str(address), "patience": 3}
    with (
        host_watch.watching(store, 0, [1]) as watch,
        pytest.raises(InputError, match="1 of 1 hosts did not come"),
    ):
        gathering.wait_for_hosts(store, watch, on_two_hosts("", rendezvous=rendezvous), "cpu")
    assert gathering.place_in(store.another(), "second") == 1
    store.say("end", End(kind="done"))
    with host_watch.watching(store, 1, [0]) as watch:
        assert gathering.wait_for_begin(store, watch, 1) is None
    assert store.hear("place/1", Place) is None


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_leaves_no_features(tmp_path) -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    command = [sys.executable, "-m", "morphoclip", "worker", "--rendezvous", address]
    process = subprocess.Popen([*command, "--folder", str(tmp_path)])
    while not list(tmp_path.iterdir()):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    (dead,) = tmp_path.iterdir()
    second = subprocess.Popen([*command, "--folder", str(tmp_path)])
    while dead.exists() or not list(tmp_path.iterdir()):
        assert second.poll() is None
        time.sleep(0.1)
    second.terminate()
    assert second.wait(20) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_hosts_of_another_version_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gathering.torch, "__version__", "1.0")
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    data = wells()
    job = TrainingJob(
        manifest_of(data), NO_DROPOUT, on_two_hosts(address), RunCheckpoints(tmp_path / "r"), print
    )
    with other_host(address, tmp_path / "other") as other:
        with pytest.raises(InputError, match=r"has torch .* and the leading one has 1\.0"):
            lead(gradients_of_job, "cpu", data, job)
        status, said = other.said()
    assert status == 1
    assert "install the same on all hosts" in said


def test_a_worker_says_what_is_wrong_and_that_nothing_came() -> None:
    runner = CliRunner()
    asked = runner.invoke(worker, ["--rendezvous", "nowhere"])
    assert asked.exit_code == 1
    assert "the rendezvous 'nowhere' is no host:port" in asked.output
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    alone = runner.invoke(worker, ["--rendezvous", address, "--patience", "1"])
    assert alone.exit_code == 1
    assert f"no training was led from {address} within 1 s" in alone.output
    assert "--rendezvous HOST:PORT" in runner.invoke(worker, ["--help"]).output


def test_an_adapter_is_trained_on_one_host() -> None:
    with pytest.raises(InputError, match=r"lora trains on one host, .* set training\.nodes to 1"):
        refuse_parts_beside_towers(NO_DROPOUT, QUICK.model_copy(update={"nodes": 2}))
