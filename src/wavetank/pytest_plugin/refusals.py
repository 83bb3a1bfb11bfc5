"""What is said to a test that cannot be run as it is marked."""

from typing import Final

TWO_WORLDS: Final = (
    "a test that searches schedules has a fresh tank in each of its runs, and none beside: leave out the "
    "fixtures fake_llm, tank and fake_llm_factory, and use the tank that is passed to the program, as in "
    "tank.fake_llm"
)

NO_REAL_TIME: Final = (
    'a search is made in virtual time, so this test cannot have llm_clock("real"): leave the marker out, '
    "or write a test that takes the fixture tank and has no @wavetank.explore"
)

OFF: Final = (
    "the test has the marker llm_off and asks for the fake all the same: leave the marker out, or the "
    "fixtures fake_llm, tank and fake_llm_factory and the marker llm_scenario"
)
