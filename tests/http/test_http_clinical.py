"""Clinical reports over HTTP: made, stored behind the answer, found within the tenant, exported, and private."""

import asyncio
import json
import logging
import re
from contextlib import contextmanager

import pytest
from http_fakes import build_services
from language_fakes import connected, language_model

from deployments.clinical.reports import ID
from serve_app.api import app as app_module

GENERATE = "/api/v1/ai-analysis/generate"
PRESSURES = [
    {"parameter": "systolic_bp", "value": 125 + 3 * day, "unit": "mmHg", "at": f"2026-09-{day + 1:02}T08:00:00Z"}
    for day in range(10)
]
REQUEST = {
    "patient_id": "p1",
    "patient": {"name": "Ada", "age": 50, "sex": "female"},
    "vitals": PRESSURES,
    "medications": [{"name": "Aspirin", "dose": "100 mg", "frequency": "daily", "adherence": 0.5}],
    "date_range": {"from": "2026-09-01T00:00:00Z", "to": "2026-09-30T00:00:00Z"},
}
GOOD = "The newest systolic blood pressure, 152 mmHg, is above its reference range and increasing by 3 mmHg a day."
CONTRADICTS = "Heart rate needs no attention and is decreasing; everything is stable and nothing is critical today."


async def generate(client, **change):
    answer = await client.post(GENERATE, json={**REQUEST, **change})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_report_is_made_stored_and_found(stored):
    report = await generate(stored)
    assert ID.fullmatch(report["report_id"])
    assert (report["partial"], report["reason"], report["generated_by"]) == ([], "not_configured", "template")
    (trend,) = report["sections"]["vitals_analysis"]["trends"]
    assert (trend["trend"], trend["slope_per_day"], trend["current"]) == ("increasing", 3.0, 152.0)
    assert trend["reference"]["source"]
    assert "no diagnosis" in report["notice"]
    found = await stored.get(f"/api/v1/ai-analysis/{report['report_id']}")
    assert found.json() == report
    page = await stored.get(f"/api/v1/ai-analysis/{report['report_id']}/export")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert report["report_id"] in page.text
    assert (await stored.delete(f"/api/v1/ai-analysis/{report['report_id']}")).json()["erased"] is True
    gone = await stored.get(f"/api/v1/ai-analysis/{report['report_id']}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "report_not_found")


async def test_newest_first_is_the_same_report(stored):
    reports = [await generate(stored, vitals=order) for order in (PRESSURES, PRESSURES[::-1])]
    first, second = (each["sections"]["vitals_analysis"] for each in reports)
    assert first == second
    assert first["trends"][0]["trend"] == "increasing"
    assert reports[0]["report_id"] != reports[1]["report_id"]


async def test_reports_live_their_own_time(open_client, fleet, redis_server):
    async with open_client(build_services(fleet, redis_server.url, report_ttl_s=600)) as client:
        await generate(client)
        (key,) = [k for k in redis_server.command("KEYS", "*").decode().split() if ":report:" in k]
        assert 590 <= int(redis_server.command("TTL", key)[1:]) <= 600


async def test_parts_can_be_left_out(stored):
    options = dict.fromkeys(("include_vitals", "include_medications", "include_risk_assessment"), False)
    report = await generate(stored, options=options)
    sections = report["sections"]
    assert [sections[name] for name in ("vitals_analysis", "medication_review", "risk_assessment")] == [None] * 3
    assert report["patient"]["risk_level"] is None
    compared = await generate(stored, options={"include_comparative_analysis": True})
    assert compared["sections"]["vitals_analysis"]["trends"][0]["comparison"]["p_value"] < 0.05


async def test_nothing_given_is_a_report_that_says_so(stored):
    report = (await stored.post(GENERATE, json={"patient_id": "p1"})).json()
    assert report["overall_health_score"] is None
    assert report["metadata"]["confidence"] == 0.0
    assert "No data" in report["executive_summary"]
    assert report["patient"]["risk_level"] is None
    risk = report["sections"]["risk_assessment"]
    assert (risk["risk_level"], risk["reason"]) == (None, "No vital signs were given for this period.")
    page = await stored.get(f"/api/v1/ai-analysis/{report['report_id']}/export")
    assert "Risk: not assessed. No vital signs were given for this period." in page.text


async def test_vitals_that_were_left_out_are_not_counted_and_have_no_risk(stored):
    vitals = [{"parameter": "heart_rate", "value": 140, "at": "2026-09-01T08:00:00Z"}]
    report = await generate(stored, vitals=vitals, medications=[], options={"include_vitals": False})
    assert report["metadata"]["data_points_analyzed"] == 0
    assert report["sections"]["risk_assessment"]["risk_level"] is None
    assert "1 values were analysed" not in report["executive_summary"]


async def test_no_age_no_comfort(stored):
    vitals = [{"parameter": "heart_rate", "value": 150, "at": "2026-09-01T08:00:00Z"}]
    report = await generate(stored, vitals=vitals, medications=[], patient={})
    assert report["patient"]["risk_level"] is None
    assert report["metadata"]["vital_signs_not_judged"] == ["heart_rate"]
    vitals += [{"parameter": "oxygen_saturation", "value": 60, "at": "2026-09-01T08:00:00Z"}]
    assert (await generate(stored, vitals=vitals, patient={}))["patient"]["risk_level"] == "critical"


async def test_without_redis_the_report_is_made_and_says_that_it_is_not_kept(client):
    report = await generate(client)
    assert (report["partial"], report["stored"], report["not_stored_because"]) == (["storage"], False, "unavailable")
    found = await client.get(f"/api/v1/ai-analysis/{report['report_id']}")
    assert (found.status_code, found.json()["error"]["code"]) == (503, "state_unavailable")


async def test_with_redis_dead_too(open_client, fleet, redis_server):
    async with open_client(build_services(fleet, redis_server.url)) as client:
        redis_server.kill()
        assert (await generate(client))["partial"] == ["storage"]


@contextmanager
def failing_after_the_ping(services, fail):
    """Redis answers the flow's ping and then ``fail`` is done to it."""
    state, ping = services.state, services.state.ping

    async def answer_then_fail():
        await ping()
        fail()

    state.ping = answer_then_fail
    yield
    state.ping = ping


def kept_reports(redis_server):
    return [key for key in redis_server.command("KEYS", "*").decode().split() if ":report:" in key]


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_report_still_being_stored_is_stored_before_the_gateway_ends(open_client, fleet, redis_server):
    services = build_services(fleet, redis_server.url)
    async with open_client(services) as client:
        with failing_after_the_ping(services, redis_server.kill):
            report = await generate(client)
        assert (report["stored"], report["partial"]) == (False, ["storage"])
        redis_server.start()
        assert kept_reports(redis_server) == []
    assert [key.endswith(report["report_id"]) for key in kept_reports(redis_server)] == [True]
    async with open_client(build_services(fleet, redis_server.url)) as other:
        found = (await other.get(f"/api/v1/ai-analysis/{report['report_id']}")).json()
        assert (found["stored"], found["partial"]) == (True, [])


async def test_at_the_end_tries_go_on_until_redis_is_back(open_client, fleet, redis_server):
    services = build_services(fleet, redis_server.url)
    async with open_client(services) as client:
        with failing_after_the_ping(services, redis_server.kill):
            report = await generate(client)
        # Later than all tries would take with the pauses of the end.
        asyncio.get_running_loop().call_later(2, redis_server.start)
    assert [key.endswith(report["report_id"]) for key in kept_reports(redis_server)] == [True]


async def test_the_end_does_not_wait_for_ever(open_client, fleet, redis_server, monkeypatch, caplog):
    monkeypatch.setattr(app_module, "REPORTS_WAIT_S", 0.2)
    services = build_services(fleet, redis_server.url)
    async with open_client(services) as client:
        with failing_after_the_ping(services, redis_server.kill):
            await generate(client)
    assert "1 report(s) could not be stored before the process ended." in caplog.text


async def test_a_slow_redis_is_waited_for_in_the_background(open_client, fleet, redis_server):
    services = build_services(fleet, redis_server.url)
    async with open_client(services) as client:
        with failing_after_the_ping(services, lambda: redis_server.freeze(frozen=True)):
            report = await generate(client)
        assert (report["stored"], report["partial"]) == (True, [])
        path = f"/api/v1/ai-analysis/{report['report_id']}"
        assert (await client.get(path)).json() == report, "from memory"
        redis_server.freeze(frozen=False)
        await until(lambda: kept_reports(redis_server))


async def test_an_erased_report_does_not_come_back(open_client, fleet, redis_server):
    services = build_services(fleet, redis_server.url)
    async with open_client(services) as client, open_client(build_services(fleet, redis_server.url)) as other:
        for eraser in (client, other):
            with failing_after_the_ping(services, redis_server.kill):
                report = await generate(client)
            redis_server.start()
            path = f"/api/v1/ai-analysis/{report['report_id']}"
            assert (await client.get(path)).status_code == 200, "from memory"
            erased = await eraser.delete(path)
            while erased.status_code == 503:
                await asyncio.sleep(0.05)
                erased = await eraser.delete(path)
            assert (erased.status_code, erased.json()["erased"]) == (200, eraser is client)
            saving = [each.task for each in services.clinical_reports._saving.values()]
            await asyncio.wait_for(asyncio.gather(*saving, return_exceptions=True), 20)
            assert kept_reports(redis_server) == []
            assert [(await each.get(path)).status_code for each in (client, other)] == [404, 404]


async def test_no_store_stores_nothing_and_says_so(stored, redis_server):
    answer = await stored.post(GENERATE, json=REQUEST, headers={"Cache-Control": "no-store"})
    report = answer.json()
    assert (report["stored"], report["not_stored_because"], report["partial"]) == (False, "no_store", [])
    assert (await stored.get(f"/api/v1/ai-analysis/{report['report_id']}")).status_code == 404
    assert kept_reports(redis_server) == []
    kept = await generate(stored)
    assert (kept["stored"], kept["not_stored_because"]) == (True, None)


async def test_another_tenants_report_does_not_exist(open_client, fleet, redis_server, tmp_path):
    from serve_app.auth import append_key, create_key

    path, heads = tmp_path / "keys.jsonl", []
    for tenant in ("north", "south"):
        key, held = create_key(tenant, ("infer",))
        append_key(path, held)
        heads.append({"Authorization": f"Bearer {key}"})
    async with open_client(build_services(fleet, redis_server.url, keys=path)) as client:
        report = (await client.post(GENERATE, json=REQUEST, headers=heads[0])).json()
        where = f"/api/v1/ai-analysis/{report['report_id']}"
        assert [(await client.get(where, headers=head)).status_code for head in heads] == [200, 404]
        assert [(await client.delete(where, headers=head)).json()["erased"] for head in heads[::-1]] == [False, True]


async def test_a_pdf_or_the_reason_why_not(stored):
    report = await generate(stored)
    answer = await stored.get(f"/api/v1/ai-analysis/{report['report_id']}/export?format=pdf")
    if answer.status_code == 200:
        assert answer.content.startswith(b"%PDF-")
        return
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "format")
    assert "muster[pdf]" in answer.json()["error"]["message"]


async def test_the_language_model_writes_the_summary(open_client, fleet, redis_server):
    with language_model() as fake:
        fake.text = GOOD
        async with open_client(build_services(fleet, redis_server.url, language=connected(fake))) as client:
            report = await generate(client)
    assert (report["generated_by"], report["metadata"]["model"], report["partial"]) == ("llm", "m", [])
    assert report["executive_summary"].startswith(
        "Needs attention: Systolic blood pressure: the newest value, 152 mmHg"
    )
    assert report["executive_summary"].endswith(GOOD)
    sent = json.dumps(fake.asked)
    for secret in ("Ada", "p1", "Aspirin", "100 mg"):
        assert secret not in sent


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (500, "", "server_error"),
        (200, GOOD + " Cancer.", "withheld: beyond_the_facts"),
        (200, CONTRADICTS, "withheld: reassures"),
    ],
)
async def test_words_that_fail_are_the_templates(open_client, fleet, redis_server, status, text, reason):
    with language_model() as fake:
        fake.status, fake.text = status, text
        async with open_client(build_services(fleet, redis_server.url, language=connected(fake))) as client:
            report = await generate(client)
    assert (report["generated_by"], report["reason"], report["partial"]) == ("template", reason, ["narrative"])
    assert report["executive_summary"].startswith("Needs attention")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"vitals": [{**PRESSURES[0], "value": 1200}]}, "vitals[0].value"),
        ({"vitals": [PRESSURES[0], {**PRESSURES[0], "value": -1}]}, "vitals[1].value"),
        ({"vitals": [{**PRESSURES[0], "unit": "psi"}]}, "vitals[0].unit"),
        ({"vitals": [{**PRESSURES[0], "at": "2199-01-01T00:00:00Z"}]}, "vitals[0].at"),
        ({"vitals": [{**PRESSURES[0], "at": "2026-02-30T00:00:00Z"}]}, "vitals[0].at"),
        ({"vitals": [{**PRESSURES[0], "at": 1700000000}]}, "vitals[0].at"),
        ({"vitals": [{**PRESSURES[0], "parameter": "luck"}]}, "vitals[0].parameter"),
        ({"vitals": PRESSURES * 101}, "vitals"),
        ({"patient": {"age": 130}}, "patient.age"),
        ({"patient": {"sex": "x"}}, "patient.sex"),
        ({"patient_id": "a b"}, "patient_id"),
        ({"medications": [{"name": "A", "started": "2026-02-02", "stopped": "2026-01-01"}]}, "medications[0].stopped"),
        ({"medications": [{"name": "A", "adherence": 1.2}]}, "medications[0].adherence"),
        ({"date_range": {"from": "2026-02-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}}, "date_range.to"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_wrong_fields_are_named(client, change, param):
    answer = await client.post(GENERATE, json={**REQUEST, **change})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"vitals": [{**PRESSURES[0], "at": "yesterday"}]}, "vitals[0].at"),
        ({"vitals": [{**PRESSURES[0], "at": "2026-02-20"}]}, "vitals[0].at"),
        ({"vitals": [{**PRESSURES[0], "at": "2026-02-30T00:00:00Z"}]}, "vitals[0].at"),
        ({"date_range": {"from": "1.9.2026"}}, "date_range.from"),
        ({"date_range": {"to": "2026-02-30"}}, "date_range.to"),
        ({"medications": [{"name": "A", "started": "1 May"}]}, "medications[0].started"),
    ],
)
async def test_a_time_that_is_none_is_answered_with_an_example(client, change, param):
    error = (await client.post(GENERATE, json={**REQUEST, **change})).json()["error"]
    assert error["param"] == param
    assert "2026-11-03" in error["message"]
    assert "\\d" not in error["message"]


@pytest.mark.parametrize(
    ("period", "points"),
    [
        ({"from": "2026-09-03", "to": "2026-09-05"}, 3),
        ({"from": "2026-09-03T08:00:00z", "to": "2026-09-05 07:59:59"}, 2),
        ({"from": "2026-09-03T09:00:00Z", "to": "2026-09-05"}, 2),
        ({"to": "2026-09-01"}, 1),
    ],
)
async def test_a_period_may_be_given_in_dates(stored, period, points):
    report = await generate(stored, date_range=period)
    assert report["metadata"]["data_points_analyzed"] == points
    assert report["metadata"]["data_points_outside_range"] == 10 - points


@pytest.mark.parametrize("where", [(), ("patient",), ("options",), ("date_range",)])
async def test_an_unknown_key_that_is_no_name_is_not_repeated(client, where):
    words = "Ada Lovelace: ulcer!"
    change = {where[0]: {words: 1}} if where else {words: 1}
    answer = await client.post(GENERATE, json={**REQUEST, **change})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, where[0] if where else "body")
    assert not any(word in answer.text for word in words.split())


@pytest.mark.parametrize("report_id", ["ANALYSIS-2026-X", "x", "ANALYSIS-2026-" + "a" * 24])
async def test_what_is_no_id_is_refused_or_unknown(stored, report_id):
    assert (await stored.get(f"/api/v1/ai-analysis/{report_id}")).status_code == 404
    wrong = await stored.get("/api/v1/ai-analysis/generate")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


MARK = "XclinicMarkX"


async def test_a_marked_patient_stays_where_it_belongs(open_client, fleet, redis_server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "access.log"
    marked = {
        **REQUEST,
        "patient": {"name": MARK, "age": 50},
        "medications": [{"name": MARK, "dose": MARK, "frequency": MARK}],
    }
    wrong = [
        {**marked, "vitals": [{**PRESSURES[0], "unit": MARK[:10]}]},
        {**marked, "vitals": [{**PRESSURES[0], "at": MARK}]},
        {**marked, "patient_id": MARK + " "},
        {**marked, "medications": [{"name": MARK, "dose": MARK + "\n"}]},
        {**marked, "patient": {"name": MARK * 100}},
        MARK,
    ]
    with language_model() as fake:
        fake.text = f"{MARK} says that the newest systolic blood pressure of 152 mmHg is above its range."
        async with open_client(build_services(fleet, redis_server.url, log=log, language=connected(fake))) as client:
            report = (await client.post(GENERATE, json=marked)).json()
            for body in wrong:
                refused = await client.post(GENERATE, json=body)
                assert refused.status_code == 422
                assert MARK not in refused.text
            unknown = await client.get(f"/api/v1/ai-analysis/{MARK}")
            assert MARK not in unknown.text
            other = await client.get(f"/api/v1/ai-analysis/{report['report_id']}/export?format={MARK}")
            assert other.status_code == 422
            assert MARK not in other.text
            page = await client.get(f"/api/v1/ai-analysis/{report['report_id']}/export")
            assert MARK in page.text
            redis_server.kill()
            assert (await client.post(GENERATE, json=marked)).json()["partial"] == ["storage"]
            pages = [(await client.get(where)).text for where in ("/metrics", "/health/detailed")]
    out, err = capfd.readouterr()
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore", "openai")))
    for sink in (log.read_text(), out, err, ours, *pages, json.dumps(fake.asked)):
        assert MARK not in sink
    redis_server.start()
    keys = redis_server.command("KEYS", "*").decode()
    assert MARK not in keys
    assert not re.search(r"\bp1\b", keys)
