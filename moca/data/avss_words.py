"""The 70 classes of AVSS in the words of AudioSet, whose 527 display names an AST tags sounds with.

A class takes every name that says no more and no less than the class, and its typical sounds where AudioSet tells
those apart (a dog barks). Where AudioSet has no name, the nearest kind stands in, marked below: such a class cannot
be told from others of the kind by its sound, and shares its name with them.
"""

from __future__ import annotations

AVSS_WORDS: dict[str, tuple[str, ...]] = {
    "accordion": ("Accordion",),
    "airplane": ("Fixed-wing aircraft, airplane", "Jet engine", "Aircraft engine", "Propeller, airscrew"),
    "axe": ("Chop", "Wood"),  # no axe
    "baby": ("Baby cry, infant cry", "Baby laughter"),
    "bassoon": ("Wind instrument, woodwind instrument",),  # no bassoon
    "bell": ("Bell", "Church bell", "Change ringing (campanology)", "Jingle bell"),
    "bird": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "boat": ("Boat, Water vehicle", "Motorboat, speedboat", "Sailboat, sailing ship", "Rowboat, canoe, kayak", "Ship"),
    "boy": ("Child speech, kid speaking", "Child singing", "Children shouting"),
    "bus": ("Bus",),
    "car": ("Car", "Car passing by", "Race car, auto racing", "Vehicle horn, car horn, honking"),
    "cat": ("Cat", "Meow", "Purr", "Caterwaul"),
    "cello": ("Cello",),
    "clarinet": ("Clarinet",),
    "clipper": ("Electric shaver, electric razor",),
    "clock": ("Clock", "Tick-tock", "Alarm clock"),
    "dog": ("Dog", "Bark", "Bow-wow", "Yip", "Whimper (dog)"),
    "donkey": ("Livestock, farm animals, working animals",),  # no donkey
    "drum": ("Drum", "Drum kit", "Snare drum", "Bass drum", "Drum roll"),
    "duck": ("Duck", "Quack"),
    "elephant": ("Wild animals",),  # no elephant
    "emergency-car": (
        "Emergency vehicle",
        "Police car (siren)",
        "Ambulance (siren)",
        "Fire engine, fire truck (siren)",
    ),
    "erhu": ("Bowed string instrument",),  # no erhu
    "flute": ("Flute",),
    "frying-food": ("Frying (food)", "Sizzle"),
    "girl": ("Child speech, kid speaking", "Child singing", "Children shouting"),
    "goose": ("Goose", "Honk"),
    "guitar": ("Guitar", "Acoustic guitar", "Electric guitar", "Bass guitar", "Steel guitar, slide guitar", "Strum"),
    "gun": ("Gunshot, gunfire", "Machine gun", "Fusillade", "Cap gun"),
    "guzheng": ("Zither",),  # a zither
    "hair-dryer": ("Hair dryer",),
    "handpan": ("Steelpan",),  # its nearest kin
    "harmonica": ("Harmonica",),
    "harp": ("Harp",),
    "helicopter": ("Helicopter",),
    "hen": ("Chicken, rooster", "Cluck"),
    "horse": ("Horse", "Clip-clop", "Neigh, whinny"),
    "keyboard": ("Computer keyboard", "Typing"),
    "leopard": ("Roaring cats (lions, tigers)",),  # no leopard
    "lion": ("Roaring cats (lions, tigers)", "Roar"),
    "man": ("Male speech, man speaking", "Male singing"),
    "marimba": ("Marimba, xylophone",),
    "missile-rocket": ("Artillery fire", "Whoosh, swoosh, swish"),  # no rocket
    "motorcycle": ("Motorcycle",),
    "mower": ("Lawn mower",),
    "parrot": ("Squawk",),  # no parrot
    "piano": ("Piano",),
    "pig": ("Pig", "Oink"),
    "pipa": ("Plucked string instrument",),  # no pipa
    "saw": ("Chainsaw", "Sawing"),
    "saxophone": ("Saxophone",),
    "sheep": ("Sheep", "Bleat"),
    "sitar": ("Sitar",),
    "sorna": ("Wind instrument, woodwind instrument",),  # no sorna
    "squirrel": ("Rodents, rats, mice",),  # no squirrel
    "tabla": ("Tabla",),
    "tank": ("Heavy engine (low frequency)", "Artillery fire"),  # no tank
    "tiger": ("Roaring cats (lions, tigers)", "Growling"),
    "tractor": ("Medium engine (mid frequency)",),  # no tractor
    "train": ("Train", "Rail transport", "Train horn", "Train whistle", "Train wheels squealing"),
    "trombone": ("Trombone",),
    "truck": ("Truck", "Air horn, truck horn", "Air brake", "Reversing beeps"),
    "trumpet": ("Trumpet",),
    "tuba": ("Brass instrument",),  # no tuba
    "ukulele": ("Ukulele",),
    "utv": ("Accelerating, revving, vroom",),  # no off-road vehicle
    "vacuum-cleaner": ("Vacuum cleaner",),
    "violin": ("Violin, fiddle",),
    "wolf": ("Howl", "Canidae, dogs, wolves"),
    "woman": ("Female speech, woman speaking", "Female singing"),
}
