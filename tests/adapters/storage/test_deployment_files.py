from __future__ import annotations

from pathlib import Path

import pytest

from edgehost.adapters.storage.deployment_files import ComponentConfigFile, DeploymentFiles
from edgehost.adapters.storage.disk import Disk
from edgehost.domain.errors import StorageFullError
from tests.adapters.storage.faulty_disk import Aftermath, FailingDisk, Moment, PowerCutDisk, PowerCutError

OLD = {"sequence": 1, "content": "{}"}
NEW = {"sequence": 2, "content": '{"name":"site"}'}


@pytest.mark.parametrize("aftermath", [each for each in Aftermath if each is not Aftermath.REMOVALS])
@pytest.mark.parametrize("moment", Moment)
async def test_a_power_cut_leaves_the_old_deployment_or_the_new(
    tmp_path: Path, moment: Moment, aftermath: Aftermath
) -> None:
    for stop_at in range(1, 20):
        root = tmp_path / str(stop_at)
        await DeploymentFiles(root / "deployments").keep("site", OLD)
        disk = PowerCutDisk(root, stop_at, moment)
        try:
            await DeploymentFiles(root / "deployments", disk).keep("site", NEW)
        except PowerCutError:
            left = disk.left_behind(tmp_path / f"{stop_at}-left", aftermath)
            found = await DeploymentFiles(left / "deployments").load()
            assert found in ({"site": OLD}, {"site": NEW})
        else:
            assert stop_at > 3
            return
    pytest.fail("It never came to an end.")


async def test_a_full_disk_keeps_the_old_deployment(tmp_path: Path) -> None:
    await DeploymentFiles(tmp_path).keep("site", OLD)
    with pytest.raises(StorageFullError):
        await DeploymentFiles(tmp_path, FailingDisk(lasting=True, fail_at=1)).keep("site", NEW)
    assert await DeploymentFiles(tmp_path).load() == {"site": OLD}


async def test_a_file_that_cannot_be_read_is_set_aside_and_costs_no_other(tmp_path: Path) -> None:
    files = DeploymentFiles(tmp_path, Disk())
    await files.keep("site", OLD)
    await files.keep("other", NEW)
    (tmp_path / "site.json").write_bytes(b'{"sequ')
    (tmp_path / "site.json.tmp").write_bytes(b"half")
    assert await files.load() == {"other": NEW}
    assert (tmp_path / "site.damaged").exists()


async def test_the_configuration_of_components_is_kept_in_its_order(tmp_path: Path) -> None:
    file = ComponentConfigFile(tmp_path / "component-config.json")
    assert await file.load() == {}
    table = {"pump": [("b" * 64, {"rate": "5"}), ("a" * 64, {})]}
    await file.keep(table)
    assert await ComponentConfigFile(tmp_path / "component-config.json").load() == table
    (tmp_path / "component-config.json").write_bytes(b'{"pump": 7}')
    assert await file.load() == {}
    assert (tmp_path / "component-config.damaged").exists()
