"""The Gradle files and the POM make the same app; nobody but this test would notice if not."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from keras_compress.android.app import APP_VERSION, PACKAGE
from tests.android.conftest import DEMO

MAVEN = "{http://maven.apache.org/POM/4.0.0}"
ANDROID = "{http://schemas.android.com/apk/res/android}"


def gradle(name: str) -> str:
    text = (DEMO / name).read_text()
    for opening, closing in ("{}", "()", "[]"):
        assert text.count(opening) == text.count(closing), name
    return text


def value(text: str, name: str) -> str:
    (found,) = re.findall(rf"^\s*{name} = '?([^'\n]+)'?$", text, re.MULTILINE)
    return found


def test_versions_are_the_same_in_gradle_pom_and_driver():
    pom = ET.parse(DEMO / "pom.xml").getroot()
    properties = {
        item.tag.removeprefix(MAVEN): item.text for item in pom.find(f"{MAVEN}properties")
    }
    app = gradle("app/build.gradle")
    assert value(app, "minSdk") == properties["min.sdk"] == "24"
    assert value(app, "targetSdk") == properties["target.sdk"]
    assert value(app, "compileSdk") == properties["android.all"].replace("14-", "34-").split("-")[0]
    assert value(app, "versionCode") == properties["version.code"]
    version = pom.find(f"{MAVEN}version").text
    assert value(app, "versionName") == version == APP_VERSION
    assert value(app, "namespace") == value(app, "applicationId") == PACKAGE
    assert properties["package.name"] == PACKAGE
    for library in ("robolectric", "junit"):
        version = properties[f"{library}.version"]
        assert f":{library}:{version}'" in app


def test_gradle_builds_the_same_native_code_from_the_same_place():
    app = gradle("app/build.gradle")
    (path,) = re.findall(r"path = file\('([^']+)'\)", app)
    assert (DEMO / "app" / path).resolve() == (DEMO.parent / "export/CMakeLists.txt").resolve()
    assert "'-DKC_JNI=ON'" in app and "'keras_compress_jni'" in app
    assert "'arm64-v8a', 'x86_64'" in app
    assert (
        "add_library(keras_compress_jni " in (DEMO.parent / "export/jni/CMakeLists.txt").read_text()
    )


def test_gradle_files_are_those_of_a_standard_project():
    assert "include ':app'" in gradle("settings.gradle") and "google()" in gradle("settings.gradle")
    plugin = re.search(
        r"com\.android\.application' version '(\d+)\.(\d+)\.\d+'", gradle("build.gradle")
    )
    wrapper = (DEMO / "gradle/wrapper/gradle-wrapper.properties").read_text()
    distribution = re.search(r"gradle-(\d+)\.(\d+)(\.\d+)?-bin", wrapper)
    # AGP 9.5 says itself (SdkConstants.GRADLE_LATEST_VERSION) that it goes with Gradle 9.6.
    assert plugin.groups() == ("9", "5") and distribution.groups()[:2] == ("9", "6")
    assert "debuggable = false" in gradle("app/build.gradle")


def test_the_manifest_asks_for_nothing_and_opens_one_guarded_door():
    manifest = ET.parse(DEMO / "app/src/main/AndroidManifest.xml").getroot()
    assert manifest.get("package") is None
    assert [child.tag for child in manifest] == ["application"]
    (application,) = manifest
    exported = {
        part.get(f"{ANDROID}name"): part.get(f"{ANDROID}permission")
        for part in application
        if part.get(f"{ANDROID}exported") == "true"
    }
    assert exported == {
        ".MainActivity": None,
        ".BenchmarkActivity": "android.permission.DUMP",
    }
    assert application.get(f"{ANDROID}debuggable") is None
