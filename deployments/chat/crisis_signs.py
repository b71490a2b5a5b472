"""What people say who do not name it: a wish not to be, means at hand, preparations, farewells, wounds.

Pattern sources over squeezed plain words for ``crisis_rules``, which compiles them; each line is one class of wordings. ``_FIRM``
ones are the writer's by their own words. Ordinary senses of the same words are kept out where they are common (a lease that
ends, a knife that cooks); where they cannot be told apart the line stays on the side of care.
"""

_AGAIN = r"(?: any ?more| any longer| again| forever|$)"
_BE = (
    r"(?:live|living|be alive|stay alive|be here|be around|exist|wake up|breathe|be breathing|be on (?:this|the) (?:planet|earth)|"
    r"be (?:a )?part of (?:this|the) world|be in (?:this|the) (?:world|body|life)|se (?:tomorow|another (?:day|sunrise|birthday))|"
    r"kep (?:breathing|existing|living|waking up)|do life|do this life)"
)
_MANY = (
    r"(?:\d{2,}|[6-9]|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|a hundred|a dozen|dozens of|"
    r"hundreds of|half a bottle of|a (?:whole |full )?(?:bottle|box|packet|pack|strip|load|fistful) of|the whole (?:bottle|box|packet|pack|strip) of)"
)
_TABLETS = (
    r"(?:pils?|tablets?|capsules?|painkilers?|paracetamol|tylenol|ibuprofen|aspirin|advil|xanax|valium|benadryl|antidepresants?|"
    r"sleping|sertraline|prozac|insulin|opioids?|oxy\w*|codeine)"
)
_MEANS = (
    r"(?:no+se|rope|gun|pistol|shotgun|revolver|razors?|blades?|razor blades?|pils|belt|helium(?: tank)?|charcoal|bleach|"
    r"exhaust|hose|ligature)"
)
_STARES = r"(?:look\w*|star\w*|think\w*|gaz\w*|eye\w*|glanc\w*|com\w* back)"
_BODY = r"(?:arm|leg|thigh|skin|wrist|stomach|forearm|hip|ankle|chest|shoulder|bely|calf|calve)s?"
_INTO = (
    r"(?:median|tree|wall|barier|guard ?rail|rail|oncoming \w+|traffic|bridge|truck|lory|pole|river|lake|clif|ditch|lane|"
    r"other lane|piler|pilar|train)"
)
_AGE = (
    r"(?:\d+|eighteen|nineteen|twenty\w*|thirty|forty|fifty|sixty|next (?:year|wek|month|birthday|christmas|sumer)|"
    r"(?:my )?(?:next |\w+th )?birthday|graduation|christmas|the end of (?:the|this) (?:year|month|wek)|old age|adulthod|the new year|"
    r"(?:the )?(?:sumer|spring|winter|autumn|fal|wekend|new year)|tomorow|morning|tonight|the night|(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
_DISEASE = r"(?:cancer|tumou?r|ilnes|disease|sicknes|heart|virus|infection|storm|crash|surgery|operation|plane|god|death|something|it|this)"

IDEATION = (
    # To end oneself, in the words that are used for it.
    r"\b(?:end|ending|ended|finish|erase|delete|top|eliminate|terminate|get rid of|getting rid of|do away with) (?:myself|himself|herself)\b(?! from\b)",
    r"\b(?:do|doing|take|taking) (?:myself|himself|herself|themselves) (?:in|out)\b(?! (?:for|to|on|of)\b)|\bput (?:myself|me) out of (?:my|this) misery\b",
    r"\b(?:kil\w*|shot|shoting|stab\w*|murder\w*|poison\w*|drown\w*|burn\w*|shot up)\b.{1,40}\band (?:then |also |finally )*(?:myself|himself|herself|turn the gun|me too)\b",
    r"\b(?:tried|try|trying|want|wants|wanted|going|ned|plan|planing|planed|might|could|about|decided) to od\b(?! on\b)|\btried to hang\b(?! (?:out|with|up|on|the|a|my (?!self)|his|her))|\b(?:my|his|her|another|last|previous|second|first) (?:suicide )?attempt\b(?! (?:at|to|in)\b)(?=.{0,30}\b(?:hospital|life|pils|overdose|died|failed|survived|suicide|on my))",
    # To be no longer, without the word.
    r"\b(?:want|wants|wanted|wish|like|love|rather|prefer|choose) (?:to )?(?:just |simply |realy )*(?:not (?:to )?(?:be|exist|live)|no longer (?:be|exist|live))"
    + _AGAIN,
    r"\b(?:want|wants|wanted|wish|wished|wishing|hope|like|love|could|long) (?:to |i could |i would |for me to )?(?:just |simply |quietly |slowly )*(?:fade (?:away|out)|vanish|evaporate|dissolve|cease(?: to)?(?: be| exist)?|stop (?:breathing|being|existing)|be (?:erased|unmade|unborn)|fal aslep for ?ever)\b",
    r"\b(?:does|did) not (?:realy |even |just |ever )*(?:want to|wish to|care to|plan to|intend to) " + _BE + r"\b",
    r"\b(?:thinks?|says?|said|keeps? saying|told \w+) (?:that )?(?:we|everyone|everybody|they|you|the (?:world|family|kids)) (?:would|wil|are|might) (?:be )?better off (?:if|when|once|without) (?:he|she|they|him|her)\b(?: (?:was|were|is|are|had) (?:dead|gone|not here|not around|never))?(?=$| )",
    r"\bbetter off (?:if|when|once) (?:he|she|they) (?:was|were|is|are) (?:dead|gone|not (?:here|around|alive))",
    # Harm that is hoped for or let come.
    r"\b(?:hope|hoping|wish|wishing|pray|praying|want|wanting)(?: that)? (?:the|this|my|some|a|it|something) ?(?:\w+ )?(?:"
    + _DISEASE
    + r" )?(?:takes?|kil|kils|finishes|would take|would kil|gets rid of) me\b(?! (?:home|there|to|out|seriously|with|on|far|back|up|by|in)\b)",
    r"\b(?:i|that i) (?:get|got|had|catch|have) (?:hit by|run over|cancer and|a heart attack|struck)\b(?=.{0,30}\b(?:so|then|over|end|wish|hope|die|would be|gone)|$)",
    r"\b(?:kindnes|favou?r|service|gift|mercy|relief|blesing)\b.{0,30}\b(?:by|if i|when i) (?:am |was |were )?(?:not (?:existing|being|living|exist|be)|dying|died|die|dead|kil\w*|ending|disapear\w*|vanish\w*|gone|leaving)",
    # A voice or a thought that commands.
    r"\b(?:head|brain|mind|voices?|thoughts?|demons?|something in me|part of me|depresion) (?:\w+ ){0,2}(?:tel|tels|teling|told|scream\w*|say|says|saying|said|want|wants|wanting|whisper\w*|shout\w*|comand\w*|beg|begs|beging|push\w*)(?: at)?(?: me)?(?: that)?(?: to| i should| i must| i have to)?(?: just| realy)* (?:do it|jump|die|end (?:it|my|everything)|cut|hurt|kil|hang|let go of life|overdose|swalow|disapear|burn myself|be dead|gone|not be here)\b",
    # Places, with a pull.
    r"\b(?:edge|ledge|platform|tracks|bridge|rof|rofop|balcony|clif|window|train)\b.{0,40}\b(?:urge|temptation|tempted|pul|lean(?:ing)? (?:forward|over)|one step|just step|let myself|fal forward|what if i|over quickly|cal(?:s|ing) (?:me|to me))\b",
    r"\b(?:bridge|tracks|pils|razor|blade|water|river|rope|knife|gun|edge|void|sea|ocean)s?\b.{0,20}\bcal(?:s|ing) (?:me|my name|to me|out to me)\b",
    r"\b(?:think|thinking|thought|thoughts|imagin\w*|urges?|want|wanting|fel like|feling like|tempted|pictur\w*|dream\w*|fantasi\w*|consider\w*|keep)\b.{0,24}\b(?:crash\w*|driv\w*|swerv\w*|ster\w*|ver\w*|turn\w*|walk\w*|step\w*|run\w*|throw\w*)\b(?: my car| the car| the whel| off| straight| right| myself| out){0,3} (?:into|of|in front of|under|onto|towards?|in) (?:a |the |an |that |some )?"
    + _INTO
    + r"\b",
    # Means, and the eye on them.
    r"\b(?:there is|have|has|had|got|bought|buying|ordered|made|tied|found|kep|keps|keeping|hid|hiding|holding|took out|borowed|brought home) (?:a |the |my |some |dad's |another )?(?:new |loaded |sharp |secret )?"
    + _MEANS
    + r"\b.{0,40}\b(?:you know (?:what|why)|for (?:myself|it|that|when)|do it|end|it is over|just in case it|is ready|ready for (?:me|it|tonight)|over for|goodbye|my (?:head|mouth|neck|wrists?)|under my (?:bed|mattres|pilow) for|al i ned)\b",
    r"\b(?:there is|i have|i got|i made|i tied|has|have|made|tied|bought) (?:a|the) no+se\b(?! (?:ble\w*|job|ring|piercing|spray|stud|cold|infection|is (?:run|block)\w*|that runs))",
    r"\b(?:razors?|blades?|knife|gun|rope|pils?|belt|scisors|no+se|bleach|medicine cabinet|bridge|tracks)\b.{0,50}\b(?:not stop|can not help|kep|keps|keep) "
    + _STARES,
    r"\b(?:kep|keps|not stop|can not help) (?:on )?"
    + _STARES
    + r" (?:at |about |to |of )?(?:the |my |that |those |al the |his |her )(?:\w+ )?(?:razors?|blades?|gun|rope|pils|scisors|bleach|medicine cabinet|painkilers|medication|insulin)\b",
    r"\b(?:a|the|my) (?:belt|rope|cord|scarf|cable|shet)s? and (?:a|the|my) (?:dor|hok|beam|tre|closet|bar|chair|fan|rafter|ceiling|wardrobe|bal?cony)\w*",
    r"\bpils\b(?: and| with|,)(?: \w+){0,3} (?:vodka|wine|whisk\w*|alcohol|boze|gin|rum|liquor|beer)|\b(?:vodka|wine|whisk\w*|alcohol|gin|boze|liquor) and (?:\w+ ){0,3}(?:sleping )?pils\b",
    r"\b(?:drink|drank|drinking|drunk|swalow\w*) (?:some |the |a (?:bottle|glas|cup) of )?(?:bleach|antifreze|drain cleaner|wed ?kil\w*|pesticide|poison)\b|\bcarbon monoxide\b(?! (?:detector|alarm|poisoning (?:risk|warning)))(?=.{0,40}\b(?:car|garage|pain\w*|slep\w*|how|die|peaceful))",
    r"\b(?:gogl\w*|search\w*|lok(?:ed|ing)? up|research\w*|reading (?:up )?(?:about|on))\b.{0,40}\b(?:(?:high|tal|dep|fast|strong|much|many) enough|lethal|fatal|deadly|painles\w*|to die|suicid\w*|overdose\w*|how to tie|how long (?:it|does|to).{0,16}(?:die|drown|bled|starve))",
    # Preparations.
    r"\b(?:leters?|notes?|videos?|cards?|mesages?|pas ?words?|instructions|recordings?|wil)\b.{0,40}\b(?:after|when|once|for when|in case|if) i am (?:gone|dead|not here|no longer)\b|\bfor (?:after|when) i am (?:gone|dead)\b",
    r"\b(?:look\w* after|take care of|feds?|feed|adopt|have|hapens? to|be ok without|be fine without) (?:\w+ ){1,4}(?:when|after|once|if) i am (?:gone for good|gone forever|dead|no longer (?:here|around|alive)|not (?:here|around|alive) any ?more)\b",
    r"\b(?:posted|sent|texted|shared|sharing|uploaded|found|left|leaving|got) (?:me |us |\w+ )?(?:a|an|his|her|their|my) (?:kind of |sort of |long )?(?:goodbye|farewel|suicide|final|last) (?:note|leter|mesage|post|video|text|voice ?mail)\b(?! (?:on|in|of|for) (?:the|his|her|my) (?:season|course|class|job|year))",
    # Wounds that are another's or one's own.
    r"\b(?:do|doing|did) something (?:stupid|bad|permanent|ireversible|i can not take back|to myself)\b(?= (?:tonight|to|that)|$)",
)
IDEATION_FIRM = (
    r"\b(?:close my eyes|fall asleep|lie down) and (?:have|let|make|feel) (?:it|everything) (?:all )?(?:end|stop|be over)\b|\bby the time (?:they|you|any ?one|help|some ?one|the ambulance) (?:comes?|arrives?|gets? (?:here|there|home))\b.{0,24}\b(?:done|over|too late|gone|dead)\b",
    r"\bhate waking up\b(?! (?:early|at|on|for|to|before|so|in|late|next|with|from)\b)|\bdisappointed (?:that |when |because )?i (?:did|woke|wake|am (?:still )?alive|survived|am still here)\b",
    r"\b(?:not|never) (?:promise|guarantee|say|tell|swear)\b.{0,30}\bi (?:will|would|am going to|can) (?:still )?(?:be (?:here|alive|around)|stay alive|make it|live|survive)\b",
    r"\bi (?:have |already |just |finally )+(?:wrote|written|finished|signed) (?:the|my|a) (?:note|letter)\b(?! (?:to|for|about|of|from|on|in) )|\b(?:note|letter) (?:is |it is )?under my (?:pillow|mattress)\b",
    r"\b(?:nobody|no ?one|nothing|you|they) (?:is going to|are going to|will|can|could|would)(?: not)?(?: be able to)? stop me\b(?! (?:from|buying|going|eating|now from))|\bnot (?:try to |bother to |even try to )?(?:stop me|talk me out of (?:it|this|dying|killing))\b|\btalk me out of (?:dying|killing|suicide)",
    r"\b(?:over|end|stop|gone)\b.{0,20}\bme included\b|\bno\b.{0,30}\bwith me in it\b|\bwithout me in it\b|\b(?:future|next year|tomorrow) (?:does not|did not|will not|without) (?:\w+ ){0,2}(?:me|include me)\b",
    r"\b(?:being alive|existing|living|being born|waking up) (?:is|was|feels|has been|hurts|has become)(?: like)?(?: \w+){0,2} (?:worst|hell|torture|agony|punishment|mistake|unbearable|prison|curse|pain|hurts|too much)\b|\b(?:being alive|existing) hurts\b",
    r"\bnot (?:even |really )?(?:scared|afraid|frightened|terrified) (?:of|to) (?:death|dying|die|be dead|being dead)\b|\b(?:scared|afraid|terrified) of (?:surviving|staying alive|failing again|waking up again)\b",
    r"\b(?:not|unsure|doubt|no idea)\b[^,]{0,34}\b(?:stay|kep|remain|be) (?:myself |me )?(?:alive|safe)\b(?! (?:from|at|on the|in)\b)",
    r"\b(?:not|no longer) (?:trust myself|safe) (?:to be |being |if i am )?(?:alone|tonight|around|with (?:myself|the|my|these|those)|on my own|at home|right now|from myself)\b",
    r"(?<!did )\bnot (?:se|imagine|picture|think|believe|expect|plan|sure|going)\b.{0,24}\b(?:making it|make it|reach|reaching|turning|turn|living|live|geting|surviv\w*|be alive|being alive|growing|be here|being here|be around|being around|last|lasting)(?: to| past| until| til| long enough to| through| for| at| by| beyond)* "
    + _AGE
    + r"\b(?! (?:dinner|party|meeting|class|clas|lunch|breakfast|event|game|trip|clases|show))",
    r"\b(?:do|does|did|would|wil|could) not (?:realy |even |just |ever )*(?:want to|wish to|care to|plan to|intend to|plan on|have to) "
    + _BE
    + _AGAIN,
    r"\bnot want to be (?:on (?:this|the) (?:planet|earth)|(?:a )?part of (?:this|the) world|in (?:this|the) (?:world|body|life))\b|\bnever (?:want|wish|hope|ned) to wake(?: up)?\b(?! (?:early|before|at|to|next|with|in|late|so)\b)",
    r"\b(?:do|would|did) not (?:realy |even |much )?(?:care|mind|mater to me|bother)(?: any ?more)? (?:if|whether) (?:i (?:die|died|live|lived|wake|woke|am dead|was dead|survive|survived|get (?:hit|kiled)|got (?:hit|kiled)|never|do not wake|exist)|(?:a|the|some) (?:car|bus|truck|train) (?:hit|hits|kil|ran))|\bwould not mind (?:dying|being dead|not waking|not being (?:here|alive)|never waking|a bus|geting hit|being hit)|\b(?:be|am) (?:ok|okay|fine|god|at peace|happy) (?:with )?(?:not waking up|dying tonight|never waking|if i (?:did not|do not|never) wake)",
    r"\bstop\w* taking (?:my|al my|the) (?:insulin|heart|med\w*|pils|medication|tablets)\b.{0,50}\b(?:die|dead|death|live|living|over|give up|giving up|goes|wel)\b",
    r"\b(?:i|already|just|have|also|and) (?:have )?(?:just |already )?(?:swalowed|tok|taken|downed|ate|washed down|popped|necked|drank) (?:like |about |around |maybe |over |more than |at least |almost |al )?"
    + _MANY
    + r" (?:of )?(?:\w+ ){0,3}?"
    + _TABLETS
    + r"\b(?! (?:(?:a|per|each|this|last|over the|in the last) (?:day|wek|month|year)|for (?:my|the) (?:\w+ )?(?:cold|flu|back|head\w*|period|kne|thyroid))\b)",
    r"\b(?:al )?(?:the|these|those|enough|my) (?:\w+ )?(?:pils?|tablets|medication)\b(?: \w+){0,2} (?:counted(?: out)?|lined up|laid out|saved up|stashed|hidden (?:away|for)|hoarded|in front of me|beside me)\b|\bi have (?:got )?(?:al )?(?:the|enough) (?:\w+ )?(?:pils?|tablets) (?:here|ready|with me|now|to|for)\b",
    r"\bi (?:have |finaly |already |just )*(?:picked|chose|chosen|set|marked|circled|decided on) (?:a|the|my) (?:date|day|bridge|method|tre|spot|way)\b(?:$|,| and | to (?:do it|die|go|end))(?! ?(?:we|for|with)\b)",
    r"\bi want out$|\bwant out of (?:life|this life|this world|existence|my (?:life|body|head))\b|\bwant out (?:for good|permanently|forever)\b|\b(?:only|easiest|best) way out (?:is|for me|now|would|left)\b|\bthe easy way out\b(?=.{0,20}\b(?:tonight|now|take|taking))",
    r"\bse you (?:al |guys |everyone |everybody )*(?:on|in) the (?:other side|next life|after ?life)\b|\b(?:i )?chec?k(?:ing)? out (?:for good|permanently|of (?:life|this life|this world)|for ?ever|early of)\b",
    r"\blife (?:is|was) (?:just |realy )?not (?:for me|made for me|worth)\b|\bnot (?:made|cut out|built|meant) (?:for|to) (?:this life|life|living|live|this world|being alive|exist)\b|\bleaving (?:this|the) (?:life|world|planet|earth)\b|\bthis (?:life|world) (?:is|was) not for me\b",
    r"\b(?:no ?one|nobody|they|who|some ?one|any ?one|you|mum|mom|mother|dad|roomate|wife|husband) (?:wil|would|is going to|should|to|can|could) (?:\w+ )?(?:find|finds|discover) (?:me|my body)\b(?! (?:on|atractive|a|here if|boring|funny|interesting|useful|job|at the)\b)|\b(?:by the time|when|until|before) (?:they|you|any ?one|some ?one|she|he) finds? (?:me|my body)\b(?! (?:on|atractive|a|boring)\b)",
    r"\b(?:any ?one|who|they|people|nobody|no ?one|every ?one|any of you|you)\b.{0,30}\b(?:to|at|for|after) my (?:own )?funeral\b|\b(?:plan\w*|wrote|writing|picked|chose) (?:out )?(?:the )?(?:songs? for |music for |flowers for )?my (?:own )?(?:funeral|eulogy|obituary)\b",
    r"\bthere (?:wil|would) not be (?:a|any) me\b|\b(?:there (?:is|will be)|wil be) no (?:more )?me\b(?! time)|\bworld without me\b(?! in the office)|\bno tomorow for me\b|\bnot (?:planing|going|intending|expecting) (?:on |to )?(?:be|being|se|seing) (?:here|around|alive|another)\b(?! (?:this|on|at|in|for) )",
    r"\b(?:wil|would) not (?:have to|ned to) (?:wory about|deal with|put up with|look after|se|bother with|pay for) me (?:any ?more|any longer|much longer|after|again|son|ever)\b|\bwil not be (?:a |your |their )?(?:burden|problem|bother|trouble)(?: \w+){0,3} (?:any ?more|any longer|much longer|after|son)\b|\bbe rid of me\b",
    r"\b(?:this|it|these|here) (?:is|are|wil be|might be|may be) my (?:final|last) (?:ever )?(?:mesage|post|words|leter|text|entry|goodbye)\b|\bmy final (?:mesage|words|leter|goodbye)\b(?! (?:on the|in the|of the|to the (?:team|board))\b)|\bthe day i die (?:is|wil be)\b|\blast time (?:you|any ?one|they) (?:wil |are going to )?(?:ever )?(?:hear|hears|se|sees|read|talk)\b.{0,12}\bme\b|\bsaid (?:al )?my (?:final |last )?goodbyes\b|\b(?:made|at) (?:my )?peace with (?:it ending|dying|death|going|leaving this|ending)\b",
    r"\b(?:tired|exhausted|sick|wary|weary) (?:of|from) (?:fighting to (?:stay|live|be)|being (?:alive|here on)|existing|waking up(?: every (?:day|morning))?$|living every)\b|\bno (?:reason|point) (?:left )?(?:for me )?(?:to|in) (?:stay|staying)(?: here| alive| on this| in this world| any ?more|$)",
    r"\b(?:not|never|stopped) (?:even |bother(?:ing)? to )?look(?:ing)? (?:both ways|left and right|before i cros|when i cros)",
    r"\bgun (?:to|in|against) my (?:head|mouth|temple)\b|\b(?:finger|hand) on the triger\b|\bgarage\b.{0,30}\b(?:engine|motor|car) (?:on|runing)\b",
    r"\b(?:told|tels?|said|says?|saying|text\w*|wrote|writes?|coment\w*|mesag\w*|yel\w*|scream\w*)\b.{0,20}\b(?:kil|hang|hurt|cut|shot) yourself\b|\bwant (?:some ?one|some ?body|something|him|her|them|you|god)(?: else)? to (?:kil me|end me|murder me|shot me|end (?:it|my life) for me)\b|\b(?:kil|die|dead)\b.{0,40}\bwant (?:some ?one|some ?body)(?: else)? to do it\b",
    r"\bdie by my own hand\b|\bby my own hands?\b(?=.{0,20}(?:die|dead|death|end|$))|\bdead by my own\b",
    r"\b(?:al|everything|it) (?:wil|would|is going to|has to) (?:al )?(?:be over|end)(?: for me)? (?:tonight|by (?:tomorow|morning|the morning|midnight|sunrise)|before (?:morning|sunrise))\b",
    r"\bnobody (?:wil|would|is going to) (?:mis|notice|even notice)\b.{0,20}\bi am (?:gone|dead|not here)",
)
IN_THE_ACT = (
    r"\b(?:i|my \w+|he|she|they)\b.{0,20}\bover ?dos(?:e|ed|ing) (?:on|of|with)\b.{0,24}\b" + _TABLETS + r"\b",
    # A rope, a blade, tablets in the act.
    r"\b(?:rope|belt|cord|scarf|noose|bag|cable|wire|sheet)\b(?: \w+){0,2} (?:round|around|over) (?:my|his|her|their) (?:neck|head|throat)\b",
    r"\bi (?:have |just |finally |already )*(?:emptied|poured|tipped|dumped|spread|counted)\b.{0,30}\b(?:medicine cabinet|pills|tablets|medication|capsules|meds)\b(?! (?:for (?:the|my)|into the (?:bin|toilet)|down the))",
    r"\bhow (?:many|much)\b.{0,40}\b(?:until|till|before|so that|to make) i (?:stop breathing|die|am dead|do not wake|never wake|pass out and)\b",
    r"\b(?:wish|wished|should have|hoped)\b.{0,24}\b(?:car|truck|bus|train|lorry|van|tram)\b (?:had |would |would have |have |just )*(?:hit|killed|run over|ran over|crushed|flattened) me\b",
    r"\blook(?:ing)? at (?:\w+ )?(?:trains?|bridges?|heights|knives|ropes|high buildings|tall buildings|rooftops|pills|traffic) (?:differently|and (?:wonder|think|imagine|see)|in a (?:new|different) way)\b",
    r"\b(?:so|too|very|quite) easy to (?:just |simply )?(?:let (?:go|the car|myself|it all)|drift|jump|step (?:off|out|in front)|swerve|drive (?:into|off)|turn the wheel|swallow|take (?:them|it|them all)|slip under|slip away|not wake|fall (?:off|asleep and)|disappear|die|go under|end)\b",
    # Parting: what is said to others, what they will find, what keeps one still.
    r"\b(?:trade|swap|change|switch) places with\b.{0,40}\b(?:graveyard|graves?|cemetery|dead|dying|died|coffin|cancer)\b|\b(?:envy|envious of|jealous of)\b.{0,20}\b(?:the dead|dead people|who died|the dying|corpses?)\b",
    r"\bwhat (?:\w+ ){1,3}(?:would|will) find(?: when| after| in (?:my|the)|$)|\b(?:looked after|taken care of|fed|provided for|be okay|be fine)\b.{0,24}\b(?:when|after|once) i (?:do it|am gone for good|leave this|go through with)\b|\bgo(?:ing)? through with it\b(?=.{0,20}\b(?:tonight|this time|alone|end)|$)",
    r"\b(?:only|one|last|main) (?:thing|person|reason|people)(?: that| who| which)?(?: is| are)? (?:keeping|keeps|keep|holding|holds|stopping|stops) me (?:alive|here|going|from (?:ending|killing|dying|doing (?:it|something)|jumping|cutting))\b(?! is (?:coffee|tea|chocolate|caffeine))",
)
LAST_TIME = (
    r"\b(?:take|taking|swallow|swallowing|eat|down) (?:every|each|all the|all of the) (?:single |last )?(?:pills?|tablets?|\w+)? ?(?:in (?:this|the|our) (?:house|flat|cabinet|cupboard|bathroom)|i (?:have|can find|own|can get))\b",
    r"\b(?:least painful|painless|quickest|easiest|fastest|gentlest) (?:way|method) to (?:go|leave)\b(?! (?:to|from|there|home|up|about|the)\b)",
    r"\bi (?:already |now |finally )*(?:know|decided|worked out|figured out) (?:exactly )?(?:how|where|when)(?: and (?:how|where|when))? i (?:will|would|am going to|want to) (?:do it|die|go)\b(?! (?:on|to|in|about) )|\bhow i (?:will|would|am going to) do it and (?:where|when)\b",
    r"\binsurance (?:money|payout|policy)\b.{0,50}\b(?:than (?:they can use )?me|than i am|without me|when i am (?:dead|gone)|if i (?:die|died))\b|\bworth more (?:to \w+ )?(?:dead|gone)\b",
    r"\bstopped making (?:any )?plans\b.{0,50}\b(?:not|never|no|gone|here)\b|\bwill not need (?:them|it|any of it|anything|that|my \w+) where i am going\b|\bwill not be (?:at (?:school|work|home)|here|around) (?:after|next) \w+,? (?:ever|any ?more|for good)\b",
    r"\b(?:hold|held|holding|push|pushed) (?:my|his|her) (?:own )?(?:head|face|myself) under(?: the)? (?:bath )?(?:water|bathwater)\b",
    r"\b(?:was|is|be) my last (?:one|birthday|christmas|summer|winter|night|day|week|sunset|sunrise|supper|meal|goodbye)(?: ever| on earth| alive)?$|\bmy last (?:night|day|sunset|sunrise|meal) (?:alive|on earth|ever)\b",
    r"\blocked (?:myself|himself|herself|themselves) in\b.{0,30}\b(?:razor|knife|gun|pills|blade|scissors|rope|bleach)\b|\b(?:video|text|message|letter|note|voice ?mail|post|mail)\b.{0,20}\b(?:saying|to say|that said|that says) (?:good ?bye|farewell|sorry for everything)\b(?! (?:to (?:the|our|my) (?:team|class|customers|colleagues)))",
)
HARM = (
    r"\b(?:slash|slic|carv|gash)\w* (?:up )?(?:my|his|her|their) (?:own )?(?:\w+ )?"
    + _BODY
    + r"\b|\b(?:arms?|wrists?|legs?|thighs?|body|skin)\b (?:is|are|was|were) (?:full of|covered (?:in|with)) (?:\w+ )?(?:scars|cuts|burns|cut marks|razor marks)\b",
    r"\bblades? (?:out of|from) (?:my|a|the|his|her) (?:\w+ )?(?:sharpener|razor|shaver)\b",
    r"\bi (?:have |just |did |had to |went and |only )*(?:cut|cuting|burned|burnt|sh|self harmed|hurt myself) (?:again|last night again)\b(?! (?:the|my (?:hair|finger|grass|bangs)|sugar|carbs|dairy|down|back|out|off)\b)",
    r"\b(?:ned|neding|neds|want|wants|wanted|wanting|urge|urges|have|craving|desperate) to (?:bled|cut|burn|self harm|se (?:my )?blod|fel the blade|fel pain)\b(?= again|$| so (?:bad|much|badly)| tonight| now| myself| right| to (?:fel|breathe|cope|calm)| until| til| and|,)",
    r"\b(?:scratch|claw|pick|bit|bite|scrap|carv|slic|burn|cut|stab|dig|rub|slash|hack|pinch|tear|tore)\w*(?: at| up| into| open)? (?:my|his|her|their) (?:own )?(?:\w+ )?"
    + _BODY
    + r"(?: \w+)? (?:raw|blody|open|again|on purpose|dep\w*|to (?:shreds|pieces|ribons))\b(?!.{0,20}\b(?:shav\w*|by accident|accidentaly|cok\w*|fel off|on the (?:oven|iron|stove)$))",
    r"\b(?:cuts?|scars?|slashes|burns?|cut marks|razor marks|burn marks)\b(?: \w+){0,2} (?:al )?(?:over|on|along|across|down|up|covering) (?:my|his|her|their|both|the inside of) (?:\w+ )?(?:arm|wrist|thigh|leg|stomach|forearm|skin)s?\b(?! from (?:the|a|my|falling|playing|gardening|surgery)\b)",
    r"\b(?:hid|hide|hiding|cover\w*|long slev\w*)\b.{0,30}\b(?:the |my |fresh |new )(?:cuts|scars|marks|burns)\b|\b(?:new|fresh|more) (?:cuts|razor marks|self)\b(?= (?:on|al|every|under|tonight|today)|$)",
    r"\b(?:watch\w*|seing|se|feling|fel) (?:the|my|my own|myself) (?:blod|bled)\b.{0,24}\b(?:calm\w*|help\w*|peace\w*|relief|fel\w*|better|only)",
    r"\b(?:punch\w*|hit\w*|bang\w*|smash\w*|slam\w*|slap\w*) (?:the |a |my )?(?:wals?|legs?|thighs?|face|head|dor|mirror|knuckles|self|myself)\b.{0,24}\b(?:until|til|bled\w*|blody|bruis\w*|to punish|to fel|over and over|numb)",
    r"\b(?:cut|cuts|cuting|burn\w*|hurt\w*|scald\w*|injur\w*|stab\w*|bruis\w*|scratch\w*|break\w*|broke) (?:my|myself|his|her|their|himself|herself|themselves)\b.{0,40}\b(?:on purpose|deliberately|intentionaly)\b",
    r"\b(?:i|to) deserve (?:to )?(?:be hurt|hurt|bled|the pain|be punished|the scars)\b|\bi (?:fel|want) pain\b.{0,16}\bcut\b",
)
HOPELESS = (
    r"\b(?:giv\w*|gave) (?:away )?(?:al )?(?:of )?my (?:\w+ )?(?:things|stuf|belongings|posesions|everything)\b(?: away| to)?(?=.{0,60}\b(?:next wek|not ned|will not|wil not|no longer|gone|away)|$)",
    r"\bno (?:reason|point) (?:left )?(?:for me )?(?:to|in) (?:kep|keping|continue|continuing|get|geting|go|going|try|trying)\b(?: on| going| up| any ?more)",
    r"\btired of (?:fighting|trying|pretending|everything|being (?:me|sad|a burden))\b|\bdone (?:trying|fighting|pretending|with everything|with everyone)\b",
)
