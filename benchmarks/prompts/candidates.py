"""English words that most tokenizers have as one token; which ones is for each tokenizer to say.

The most common come first, so that a small vocabulary has some of them early.
"""

from __future__ import annotations

_WORDS = """
    the of and to in is that for it as was with be by on not he his but at are this have from or had an they
    which one you were all her she there would their we him been has when who will no more if out so up said
    what its about than into them can only other time new some could these two may first then do any like my
    now over such our man me even most made after also did many off before must well back through years much
    where your way down should because long each just state those people too how little good world make very
    year still see own work men day get here old life both between being under three never know same last
    another while us might great go come since against right came take used himself few house use place during
    without high again home around small however found part school thought number war until always away public
    once put something head every less hand enough took yet government system set told nothing night end why
    called find going look asked later knew point next city give group days young let room present order side
    given second social large early case often company room face along best need law possible money water light
    power left business street line open child four form air body area field turn name family done seem white
    black red green blue cold warm hot dark deep wide short full clear hard easy strong free late near far
    road town land river sea lake hill tree wood stone fire rain snow wind sun moon star sky bird fish horse
    dog cat cow farm food bread milk tea rice meat fruit apple oil salt sugar glass cup table chair door
    window wall floor roof bed lamp book page paper pen letter word story song music art film play game ball
    team race win lose run walk move stand sit sleep wake eat drink cook wash clean build break cut pull push
    hold carry bring send keep leave stay start stop close begin change grow fall rise drop hit catch throw
    buy sell pay cost price cash bank trade market store shop plan goal rule step stage scale level rate size
    weight length speed time space earth ground gold silver iron steel metal rock sand coal gas heat fuel
    engine wheel car bus train ship boat plane bridge station port track map north south east west left
    center edge top bottom front middle corner circle square cross point mark sign color shape sound voice
    noise tone note key code data file list table chart graph image model test check task job skill tool
    machine device phone radio screen button switch wire cable cell chip disk memory network signal message
    mail post news report record study lesson class course grade score exam teacher student doctor nurse
    driver writer artist king queen lord judge court crime police army soldier leader member friend mother
    father sister brother son daughter wife husband baby boy girl woman person crowd nation country village
    island coast beach forest desert mountain valley garden park field yard hotel church temple castle tower
    office factory hospital library museum theater prison camp kitchen bath summer winter spring morning
    evening week month hour minute moment past future history event war peace battle fight attack defense
    weapon force control danger risk safety health disease pain blood heart brain bone skin hair eye ear
    nose mouth tooth neck arm leg foot finger knee shoulder chest strength weak sick dead alive happy sad
    angry afraid proud sure ready able likely simple single double whole half third quarter dozen hundred
    thousand million average total amount balance loss gain profit tax debt loan fund budget share stock
    wage income expense value quality standard basic common special general local foreign national private
    human animal plant seed leaf flower root branch grass wheat corn cotton wool silk leather cloth dress
    shirt coat hat shoe ring belt pocket bag box bottle plate knife fork spoon basket bucket rope chain
    hammer nail screw brush pipe pump tank bell clock watch mirror picture frame camera flag stamp ticket
    coin gift toy doll drum guitar piano dance stage actor scene title chapter verse poem prayer faith
    soul spirit ghost angel dream hope fear love hate anger joy trust truth lie secret promise duty honor
    habit custom culture language speech grammar science theory method result cause effect reason purpose
    problem answer question idea opinion belief choice chance luck success failure mistake lesson
"""

CANDIDATES: tuple[str, ...] = tuple(dict.fromkeys(_WORDS.split()))
