"""Ports are planned together and checked before anything starts."""

import os
import socket

import pytest

from tokentide_deploy.errors import DeployError, PortInUseError
from tokentide_deploy.ports import HOST, PORT_OFFSETS, check_free, free_ports, plan_ports


def test_a_base_moves_all_ports() -> None:
    plan = plan_ports(40000)
    assert (plan.board, plan.kafka, plan.kafka_controller, plan.store) == (40000, 40002, 40003, 40004)


def test_base_zero_picks_distinct_free_ports() -> None:
    plan = plan_ports(0)
    ports = {plan.of(name) for name in PORT_OFFSETS}
    assert len(ports) == len(PORT_OFFSETS)
    check_free(plan, list(PORT_OFFSETS))


@pytest.mark.parametrize("base", [1, 1023, 65535, -5])
def test_a_base_outside_the_range_is_refused_with_the_range(base: int) -> None:
    with pytest.raises(DeployError, match="1024 to 65530"):
        plan_ports(base)


def test_a_taken_port_is_reported_with_who_wanted_it_who_holds_it_and_the_way_out() -> None:
    [port] = free_ports(1)
    plan = plan_ports(port - PORT_OFFSETS["kafka"])
    with socket.socket() as holder:
        holder.bind((HOST, port))
        holder.listen()
        with pytest.raises(PortInUseError) as caught:
            check_free(plan, ["kafka"])
    message = str(caught.value)
    assert f"port {port}, wanted by kafka" in message
    assert f"pid {os.getpid()}" in message
    assert "--port-base" in message
    assert caught.value.exit_status == 4


def test_a_port_that_its_server_just_left_is_free_again() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection((HOST, port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            client.recv(1)
    check_free(plan_ports(port - PORT_OFFSETS["kafka"]), ["kafka"])
