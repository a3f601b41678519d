import pytest

from shortlinks.links import Links


@pytest.fixture
def links():
    links = Links()
    yield links
    links.close()


def test_a_link_is_found_by_its_code(links):
    link = links.add("https://example.org/a")
    assert links.find(link.code) == link


def test_the_same_link_keeps_its_code(links):
    first = links.add("https://example.org/a")
    links.add("https://example.org/b")
    assert links.add("https://example.org/a") == first


def test_following_counts(links):
    code = links.add("https://example.org/a").code
    for _ in range(3):
        links.follow(code)
    assert links.find(code).hits == 3


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org", "javascript:alert(1)"])
def test_only_web_addresses_are_kept(links, url):
    with pytest.raises(ValueError, match="no http or https address"):
        links.add(url)


def test_links_outlive_the_process(tmp_path):
    first = Links(str(tmp_path / "links.db"))
    code = first.add("https://example.org/a").code
    first.close()
    second = Links(str(tmp_path / "links.db"))
    assert second.find(code).url == "https://example.org/a"
    second.close()
