"""Code that decides results cannot change without its version, unless somebody says why that is harmless."""

from xdseg import versions


def test_no_part_changed_without_its_version():
    """Each part's code is the one agreed to in tests/versions.lock."""
    assert versions.changed(versions.read_lock()) == []


def test_every_part_has_sources_that_exist():
    """A renamed file cannot silently leave the watch."""
    for name, patterns in versions.SOURCES.items():
        for pattern in patterns:
            assert list(versions.PACKAGE.glob(pattern)), (name, pattern)
    assert set(versions.VERSIONS) <= set(versions.SOURCES)


def test_every_component_is_watched():
    """Each segmenter and adaptation that comes with the package has sources and a version."""
    from xdseg.registry import ADAPTATIONS, SEGMENTERS

    own = [
        f"{registry.kind} {name}"
        for registry in (SEGMENTERS, ADAPTATIONS)
        for name in registry
        if registry[name].build.startswith("xdseg.")
    ]
    assert set(own) <= set(versions.SOURCES)


def test_digest_sees_code_and_not_words(tmp_path):
    """Comments and docstrings are free; a changed number is not."""
    path = tmp_path / "part.py"
    path.write_text('"""One."""\ndef f():\n    """Two."""\n    return 1  # three\n')
    before = versions.code_digest([path])
    path.write_text('"""Other."""\n\n\ndef f():\n    # words\n    return 1\n')
    assert versions.code_digest([path]) == before
    path.write_text("def f():\n    return 2\n")
    assert versions.code_digest([path]) != before


def test_agreeing_needs_a_raised_version_or_a_reason(tmp_path, monkeypatch):
    """Neither a silent change nor a silent default slips through."""
    lock = tmp_path / "versions.lock"
    assert versions.agree("metric", None, lock) is None
    assert "still version 1; raise it, or give --neutral" in versions.agree("metric", None, lock)
    assert versions.agree("metric", "renamed a variable", lock) is None
    assert versions.read_lock(lock)["metric"]["neutral"] == ["renamed a variable"]
    monkeypatch.setitem(versions.VERSIONS, "metric", 2)
    assert versions.agree("metric", None, lock) is None
    assert versions.read_lock(lock)["metric"] == {
        "version": 2,
        "digest": versions.code_digest(versions.sources_of("metric")),
        "neutral": [],
    }
