"""What the passages of the extraction suite are about. No name or sentence of them is in fine-tuning's templates.

A domain has records, each with a name of its own, and fields. A sentence tells one field of one record, and names it: `{who}`
is the record, `{told}` the value in words. Scenes tell of no record, though they hold numbers and dates.
"""

from typing import NamedTuple

from trellis.evaluate.suites.tellings import Choice, Clock, Count, Day, Flag, Kind, Measure, Name

SURNAMES = ("Ashdown", "Brekke", "Calloway", "Dupree", "Eskildsen", "Fairweather", "Gallagher", "Holmqvist", "Ibsen")
SURNAMES += ("Jankowski", "Kettering", "Lindqvist", "Marchetti", "Norwood", "Okonkwo", "Pemberton", "Quillfeather")
PLACES = (
    "Ullapool",
    "Whitby",
    "Kirkwall",
    "Falmouth",
    "Stavanger",
    "Lerwick",
    "Tobermory",
    "Aberdour",
    "Skagen",
    "Ribe",
)


class Field(NamedTuple):
    """A property of a record, what its values are, and the sentences that tell one."""

    name: str
    kind: Kind
    sentences: tuple[str, ...]


class Domain(NamedTuple):
    """Records of one sort: `identity` is the property that holds a record's name."""

    identity: str
    plural: str
    names: tuple[str, ...]
    fields: tuple[Field, ...]
    scenes: tuple[str, ...]


DOMAINS = (
    Domain(
        "vessel",
        "vessels",
        ("Halcyon", "Marigold", "Petrel", "Sandpiper", "Windrush", "Corncrake", "Vigilant", "Bluebell", "Ouzel"),
        (
            Field("draught_m", Measure(2, 14, "metres"), ("{who} draws {told}.", "The draught of {who} is {told}.")),
            Field("crew", Count(3, 48), ("{who} carries a crew of {told}.", "Aboard {who} there are {told} hands.")),
            Field("berthed_on", Day(), ("{who} came alongside on {told}.", "On {told}, {who} was made fast.")),
            Field("pilot", Name(SURNAMES), ("{told} piloted {who} in.", "The pilot of {who} was {told}.")),
            Field(
                "cleared",
                Flag({True: "has been cleared by customs", False: "still waits for customs"}),
                ("{who} {told}.", "As the log has it, {who} {told}."),
            ),
        ),
        ("The breakwater was mended 12 years ago.", "Gulls sat on all four bollards.", "Fog had lain over the roads."),
    ),
    Domain(
        "manuscript",
        "manuscripts",
        ("Codex Amber", "Codex Birch", "Codex Cedar", "Codex Drake", "Codex Elder", "Codex Finch", "Codex Goshawk"),
        (
            Field("folios", Count(8, 420), ("{who} has {told} folios.", "There are {told} folios in {who}.")),
            Field("height_cm", Measure(12, 60, "centimetres"), ("{who} stands {told} tall.", "{who} measures {told}.")),
            Field(
                "hand",
                Choice({"uncial": "rounded uncials", "textura": "a woven textura", "italic": "a slanting italic"}),
                ("{who} is written in {told}.", "The scribe of {who} used {told}."),
            ),
            Field("acquired_on", Day(), ("The library bought {who} on {told}.", "{who} was acquired on {told}.")),
            Field("donor", Name(SURNAMES), ("{who} was a gift of {told}.", "We owe {who} to {told}.")),
            Field(
                "is_bound",
                Flag({True: "is in its old binding", False: "lies unbound"}),
                ("{who} {told}.", "On its shelf, {who} {told}."),
            ),
        ),
        ("The reading room seats 30.", "A new lamp was hung in 1998.", "Visitors leave their coats downstairs."),
    ),
    Domain(
        "hive",
        "hives",
        ("Acre End", "Brook Side", "Chalk Pit", "Dell Top", "Elm Row", "Far Gate", "Glebe Corner", "Heath Bank"),
        (
            Field("frames", Count(6, 30), ("{who} holds {told} frames.", "We counted {told} frames in {who}.")),
            Field("comb_kg", Measure(1, 40, "kilograms"), ("{who} gave {told} of comb.", "From {who} came {told}.")),
            Field("opened_at", Clock(), ("{who} was opened at {told}.", "At {told} we lifted the lid of {who}.")),
            Field(
                "temper",
                Choice({"calm": "as gentle as lambs", "restless": "on the move", "fierce": "in a stinging mood"}),
                ("The bees of {who} were {told}.", "In {who} they were {told}."),
            ),
            Field(
                "has_queen",
                Flag({True: "has its queen", False: "has lost its queen"}),
                ("{who} {told}.", "For all we saw, {who} {told}."),
            ),
        ),
        ("The limes were in flower.", "It was the warmest week in 20 years.", "Two smokers stood ready by the wall."),
    ),
    Domain(
        "recital",
        "recitals",
        ("Evensong", "Nocturne", "Aubade", "Barcarolle", "Pastorale", "Threnody", "Scherzo", "Berceuse", "Rhapsody"),
        (
            Field("held_on", Day(), ("{who} was given on {told}.", "They played {who} on {told}.")),
            Field("begins_at", Clock(), ("{who} begins at {told}.", "Doors shut for {who} at {told}.")),
            Field("players", Count(2, 90), ("{who} calls for {told} players.", "It takes {told} players for {who}.")),
            Field("soloist", Name(SURNAMES), ("The soloist of {who} is {told}.", "{told} takes the solo in {who}.")),
            Field(
                "sold_out",
                Flag({True: "is sold out", False: "has seats left"}),
                ("{who} {told}.", "By this morning's list, {who} {told}."),
            ),
        ),
        ("The organ has 1204 pipes.", "Rain drummed on the roof all week.", "Tea is served in the cloister."),
    ),
    Domain(
        "buoy",
        "buoys",
        ("Anvil", "Beacon", "Cutlass", "Dogger", "Eddystone", "Fastnet", "Gannet", "Hebrides", "Lundy", "Malin"),
        (
            Field(
                "gust_knots", Count(4, 75), ("{who} logged a gust of {told} knots.", "At {who} it gusted {told} knots.")
            ),
            Field("wave_m", Measure(0, 11, "metres"), ("Waves at {who} reached {told}.", "{who} rode seas of {told}.")),
            Field("read_at", Clock(), ("{who} was read at {told}.", "The reading of {who} came at {told}.")),
            Field(
                "sky",
                Choice({"clear": "not a cloud", "overcast": "an unbroken grey", "squally": "one squall on another"}),
                ("Above {who} there was {told}.", "{who} saw {told}."),
            ),
            Field(
                "is_lit",
                Flag({True: "shows its light", False: "is dark"}),
                ("{who} {told}.", "After nightfall {who} {told}."),
            ),
        ),
        ("The tender sailed with a mate and 3 boys.", "Nobody slept much.", "The glass had fallen since Sunday."),
    ),
    Domain(
        "climber",
        "climbers",
        ("Ragnhild", "Tenzing", "Ottoline", "Casimir", "Perpetua", "Lysander", "Wilhelmina", "Evander", "Sunniva"),
        (
            Field("age", Count(16, 79), ("{who} is {told} years old.", "At {told}, {who} climbs as ever.")),
            Field(
                "pack_kg", Measure(4, 25, "kilograms"), ("{who} carried {told}.", "The pack of {who} weighed {told}.")
            ),
            Field("topped_on", Day(), ("{who} reached the top on {told}.", "On {told} the summit was won by {who}.")),
            Field("home", Name(PLACES), ("{who} comes from {told}.", "{told} is where {who} lives.")),
            Field(
                "is_roped",
                Flag({True: "went on the rope", False: "went without a rope"}),
                ("{who} {told}.", "On the ridge {who} {told}."),
            ),
        ),
        ("The hut has 22 beds.", "Snow fell until the Friday.", "Someone had left a kettle on the stove."),
    ),
    Domain(
        "crate",
        "crates",
        ("K17", "L22", "M35", "N41", "P58", "Q63", "R76", "S84", "T92"),
        (
            Field(
                "mass_kg", Measure(1, 95, "kilograms"), ("{who} weighs {told}.", "On the scales {who} came to {told}.")
            ),
            Field("pieces", Count(2, 99), ("{who} holds {told} pieces.", "There are {told} pieces in {who}.")),
            Field("sent_on", Day(), ("{who} left on {told}.", "The carter took {who} on {told}.")),
            Field("bound_for", Name(PLACES), ("{who} goes to {told}.", "{told} is the destination of {who}.")),
            Field(
                "contents",
                Choice({"china": "plates and cups", "tools": "chisels and planes", "cloth": "bolts of linen"}),
                ("{who} is full of {told}.", "Inside {who} are {told}."),
            ),
            Field(
                "is_insured",
                Flag({True: "is insured", False: "travels at the owner's risk"}),
                ("{who} {told}.", "According to the bill, {who} {told}."),
            ),
        ),
        ("The yard opens before dawn.", "Straw costs 9 shillings now.", "A dog slept on the loading bay."),
    ),
    Domain(
        "windmill",
        "windmills",
        ("Grinder's Hope", "Old Samson", "Black Kate", "The Widow", "Long Meg", "Saint Anne", "Jack Straw"),
        (
            Field("sails", Count(2, 8), ("{who} turns {told} sails.", "The sails of {who} number {told}.")),
            Field("raised_on", Day(), ("{who} was raised on {told}.", "They set the cap on {who} on {told}.")),
            Field("span_m", Measure(9, 30, "metres"), ("The span of {who} is {told}.", "{who} sweeps {told}.")),
            Field("miller", Name(SURNAMES), ("{told} runs {who}.", "The miller of {who} is {told}.")),
            Field(
                "grinds",
                Choice({"oats": "oatmeal", "rye": "dark rye flour", "barley": "barley groats"}),
                ("{who} makes {told}.", "What leaves {who} is {told}."),
            ),
            Field(
                "is_working",
                Flag({True: "still works", False: "has stood idle for long"}),
                ("{who} {told}.", "These days {who} {told}."),
            ),
        ),
        ("The dyke was raised by 2 feet.", "Storks nested on a cartwheel.", "The lane floods in most winters."),
    ),
)
# Sentences that take a value back. They tell of a record too, and of no value that stands.
CORRECTIONS = (
    "An earlier list gave {told} for {who}, which was wrong.",
    "For {who}, {told} had been noted by mistake.",
)
