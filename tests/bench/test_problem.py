"""Notes have a level in memory and are plain text on disk, in the words of every earlier version."""

import json

import pytest
from builders import trial_record, trial_spec

from bench.problem import Note
from bench.results.records import TrialRecord
from bench.results.tables import result_table

NOTES = {
    "2 cells are left out": Note("2 cells are left out"),
    "WARNING labels are weak": Note("labels are weak", "warning"),
    "not run again: the prediction is that of trial 1": Note("the prediction is that of trial 1", "reused"),
    "a sentence with a WARNING inside": Note("a sentence with a WARNING inside"),
}


@pytest.mark.parametrize("text", NOTES)
def test_a_note_is_written_and_read_as_text(text):
    assert Note.read(text) == NOTES[text]
    assert str(NOTES[text]) == f"{NOTES[text]}" == text


def test_records_and_tables_hold_the_text_and_give_back_the_levels():
    told = ["a method's own sentence \udce4", *NOTES.values()]
    record = trial_record("k", trial_spec(), notes=told, problem_notes=list(NOTES))
    assert record.notes == [Note("a method's own sentence ?"), *NOTES.values()]
    assert record.problem_notes == list(NOTES.values())
    written = record.model_dump_json()
    assert json.loads(written)["problem_notes"] == list(NOTES)
    assert TrialRecord.model_validate_json(written) == record
    assert result_table([record], "run")["notes"].tolist() == ["; ".join(["a method's own sentence ?", *NOTES])]
