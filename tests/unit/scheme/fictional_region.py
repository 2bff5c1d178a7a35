"""A fictional region in the layout of OpenDRG's folders, small enough to be read in one go: every kind of test occurs once.

All of it is written for this test; it can be imported and run, so that an import of it as a scheme has something to agree
with.
"""

from __future__ import annotations

from pathlib import Path

REGION = "nowhere_2030"

BASE = """
from collections import namedtuple
from pathlib import Path

MedicalRecord = namedtuple(
  'MedicalRecord', 'Index,gender,age,ageDay,weight,dept,inHospitalTime,leavingType,zdList,ssList,icuHours')
GroupResult = namedtuple('GroupResult', 'Index,status,messages,mdc,adrg,drg')

def table(name):
  lines = Path(__file__).with_name('DATA').joinpath(name + '.dat').read_text(encoding='utf8').splitlines()
  return {line.split(' ', 1)[0]: line.split(' ', 1)[1] if ' ' in line else '' for line in lines if line}

MCC = table('MCC')
CC = table('CC')
CCE = table('CCE')
SS_VALID = table('SS_VALID')
DRG = table('DRG')

def message(text):
  pass

def has_mcc(first, rest):
  excluded = CCE.get(first)
  for code in rest:
    if code in MCC and not (excluded and MCC.get(code) == excluded):
      return True

def has_cc(first, rest):
  excluded = CCE.get(first)
  for code in rest:
    if code in CC and not (excluded and CC.get(code) == excluded):
      return True

def intersect(some, others):
  for code in some:
    if code in others:
      return True
  return False

def named(index, code):
  if code == '0000':
    return GroupResult(index, 'none', [], 'MDC0', '00', code)
  elif code[1:3] == 'QY':
    return GroupResult(index, 'ambiguous', [], 'MDC' + code[0], 'QY', code)
  else:
    return GroupResult(index, 'found', [], 'MDC' + code[0], code[:3], code)
"""

GROUPER = """
from drg_group.nowhere_2030.Base import message
from drg_group.nowhere_2030.MDC import MDCA,MDCP,MDCZ,MDCM,MDCE

def group(record):
  result=MDCA.group(record)
  if result:
    return result

  result=MDCP.group(record)
  if result:
    return result

  result=MDCZ.group(record)
  if result:
    return result

  result=MDCM.group(record)
  if result:
    return result

  result=MDCE.group(record)
  if result:
    return result

  message('none')
  return '0000'
"""

GROUPER_REGION = """
from drg_group.nowhere_2030.Base import named
from drg_group.nowhere_2030.Grouper import group

class Grouper_nowhere_2030:
  def group(self,record):
    result=group(record)
    if result=='0000' and len(record.ssList)>1:
      for code in record.ssList[1:]:
        record=record._replace(ssList=[code])
        result=group(record)
        if result!='0000':
          break
    return named(record.Index,result)
"""

GROUP_PROXY = """
from drg_group.nowhere_2030.Base import GroupResult
from drg_group.nowhere_2030.Grouper_nowhere_2030 import Grouper_nowhere_2030

class GroupProxy:
  def group(self,record):
    check_result=None if record.zdList else 'no diagnosis'
    if check_result:
      result=GroupResult(record.Index,check_result,[],'BAD','99','9999')
    else:
      result=Grouper_nowhere_2030().group(record)
    return result
"""

HEAD = "from drg_group.nowhere_2030.Base import message,intersect,has_mcc,has_cc,SS_VALID\n"


def mdc(
    name: str, gate: str, adrgs: list[str], codes: str = "[]", trauma: bool = False, ambiguous: str = "False"
) -> str:
    """The text of a file of `MDC/`: an ambiguous group comes before the last ADRG."""
    lines = [HEAD + f"from drg_group.nowhere_2030.ADRG import {','.join(adrgs)}", "", "def group(record):"]
    lines += [f"  mdc_zd={codes}", "  dept_list=[]", f"  if not (True and {gate}):", "    return ''"]
    if trauma:
        lines += [
            "  site={}", '  kind=""', "  for code in mdc_zd:", '    if code.endswith("部"):', "      kind=code",
            "    else:", "      site[code]=kind", "  met=set(record.zdList).intersection(site.keys())",
            "  kinds=set([site.get(code) for code in met])", "  if met:", "    message('%s' % ','.join(met))",
            "    if len(kinds)<2:", "      return ''", "  else:", "    return ''",
        ]  # fmt: skip
    lines += [f"  message('in {name}')"]
    for place, adrg in enumerate(adrgs):
        if place == len(adrgs) - 1:
            lines += [f"  if {ambiguous}:", "    message('ambiguous')", f"    return '{name[-1]}QY'"]
        lines += [f"  result={adrg}.group(record)", "  if result:", "    return result"]
    return "\n".join([*lines, f"  message('out of {name}')"]) + "\n"


def adrg(
    name: str, test: str, drgs: list[str], lists: str = "", end: str = "''", special: tuple[str, ...] = ()
) -> str:
    """The text of a file of `ADRG/`; DRGs in `special` have a file of their own in `DRG_EX/`."""
    letter = name[0]
    lines = [HEAD + f"from drg_group.nowhere_2030.DRG import MDC{letter}_DRG"]
    if special:
        lines.append(f"from drg_group.nowhere_2030.DRG_EX import {','.join(special)}")
    lines += ["", "def group(record):", *(f"  {line}" for line in lists.splitlines())]
    lines += [f"  if True and {test}:", "    message('in')"]
    for drg in drgs:
        call = f"{drg}.group(record)" if drg in special else f"MDC{letter}_DRG.{drg}_group(record)"
        lines += [f"    if {call}:", f"      return '{drg}'"]
    return "\n".join([*lines, f"    return {end}", "  else:", "    return ''"]) + "\n"


def drgs(**tests: str) -> str:
    """The text of a file of `DRG/`: a function per DRG."""
    return HEAD + "".join(f"\ndef {name}_group(record):\n  return {test}\n" for name, test in tests.items())


MCC = "len(record.zdList)>1 and has_mcc(record.zdList[0],record.zdList[1:])"
CC = "len(record.zdList)>1 and has_cc(record.zdList[0],record.zdList[1:])"
EITHER = (
    "len(record.zdList)>1 and (has_mcc(record.zdList[0],record.zdList[1:])"
    " or has_cc(record.zdList[0],record.zdList[1:]))"
)
PRINCIPAL = "record.zdList[0] in adrg_zd"
OPERATION = "record.ssList and record.ssList[0] in adrg_ss"
NEWBORN = "record.ageDay!=None and record.ageDay<=28"

FILES = {
    "Base.py": BASE,
    "Grouper.py": GROUPER,
    "Grouper_nowhere_2030.py": GROUPER_REGION,
    "GroupProxy.py": GROUP_PROXY,
    "MDC/MDCA.py": mdc(
        "MDCA", 'record.ssList and (record.ssList[0] in SS_VALID or record.ssList[0] in ["99.1"])', ["AA1", "AH1_1", "AH1_2"]
    ),
    "MDC/MDCP.py": mdc("MDCP", "record.zdList[0] in mdc_zd and int(record.age)==0", ["PS1", "PV1"], '["P07","P08"]'),
    "MDC/MDCZ.py": mdc(
        "MDCZ", "record.zdList[0] in mdc_zd", ["ZB1", "ZZ1"], '["头部","S01","S02","胸部","S21","S22","S01"]', trauma=True
    ),
    "MDC/MDCM.py": mdc(
        "MDCM", "record.zdList[0] in mdc_zd and record.gender=='1'", ["MA1", "MR1"], '["N40","N41"]',
        ambiguous="record.ssList and record.ssList[0] in SS_VALID",
    ),
    "MDC/MDCE.py": mdc(
        "MDCE", "intersect(record.zdList,mdc_zd)", ["EB1", "EC1", "EJ1", "ER1", "ES1", "EZ1"], '["J15","J18","J44","J96"]',
        ambiguous="record.ssList and intersect(SS_VALID,record.ssList)",
    ),
    "ADRG/AA1.py": adrg("AA1", OPERATION, ["AA19"], 'adrg_ss=["37.5","99.1"]'),
    "ADRG/AH1_1.py": adrg(
        "AH1_1", "intersect(record.zdList[1:],adrg_zd1) and record.ssList and intersect(record.ssList,adrg_ss)",
        ["AH11", "AH15"], 'adrg_zd1=["J96","E11"]\nadrg_ss=["96.7"]',
    ),
    "ADRG/AH1_2.py": adrg("AH1_2", OPERATION, ["AH10", "AH12"], 'adrg_ss=["31.1"]', end="'AH1'"),
    "ADRG/PS1.py": adrg(
        "PS1", f"intersect(record.zdList,adrg_zd) and record.weight and record.weight<1500 and {NEWBORN}", ["PS11", "PS15"],
        'adrg_zd=["P07"]',
    ),
    "ADRG/PV1.py": adrg("PV1", "True", ["PV11", "PV15"]),
    "ADRG/ZB1.py": adrg(
        "ZB1", "record.ssList and intersect(record.ssList,adrg_ss) and intersect(record.ssList,adrg_ss1)", ["ZB19"],
        'adrg_ss=["01.2"]\nadrg_ss1=["34.0"]',
    ),
    "ADRG/ZZ1.py": adrg("ZZ1", "not intersect(record.ssList,SS_VALID)", ["ZZ11", "ZZ13"]),
    "ADRG/MA1.py": adrg(
        "MA1",
        '("1" in met and "2" in met) or ("1" in met and "3" in met)',
        ["MA19"],
        'adrg_ss=["60.2","60.3","60.4","60.2"]\nadrg_ss1=["1","2","3","2"]\n'
        "met=[adrg_ss1[adrg_ss.index(code)] for code in record.ssList if code in adrg_ss]",
    ),
    "ADRG/MR1.py": adrg("MR1", PRINCIPAL, ["MR11", "MR13"], 'adrg_zd=["N40"]'),
    "ADRG/EB1.py": adrg(
        "EB1", f"{OPERATION} and record.ssList and intersect(record.ssList,adrg_ss)", ["EB16", "EB17", "EB11", "EB15"],
        'adrg_ss=["32.4","32.5"]', special=("EB16",),
    ),
    "ADRG/EC1.py": adrg(
        "EC1", f"record.zdList[0] not in adrg_zd and {OPERATION}", ["EC19"], 'adrg_zd=["J18"]\nadrg_ss=["34.0"]'
    ),
    "ADRG/EJ1.py": adrg("EJ1", PRINCIPAL, ["EJ19"], "adrg_zd=[]"),
    "ADRG/ER1.py": adrg("ER1", PRINCIPAL, ["ER10", "ER11", "ER12", "ER13"], 'adrg_zd=["J44"]'),
    "ADRG/ES1.py": adrg("ES1", f"{PRINCIPAL} and (not record.ssList or not record.ssList[0] in SS_VALID)",
                        ["ES17", "ES13", "ES14", "ES15"], 'adrg_zd=["J18","J96"]'),
    "ADRG/EZ1.py": adrg("EZ1", PRINCIPAL, ["EZ10", "EZ11", "EZ13", "EZ15"], 'adrg_zd=["J15"]'),
    "DRG/MDCA_DRG.py": drgs(
        AA19="True", AH11=MCC, AH15="True", AH10="record.icuHours>120", AH12="1<=record.icuHours<=120",
    ),
    "DRG/MDCP_DRG.py": drgs(PS11="record.weight<1000", PS15="True", PV11=EITHER, PV15="True"),
    "DRG/MDCZ_DRG.py": drgs(ZB19="True", ZZ11="len(record.ssList)>1 and intersect(record.ssList[1:],['88.3'])", ZZ13="True"),
    "DRG/MDCM_DRG.py": drgs(MA19="True", MR11=f"record.age<=17 and {EITHER}", MR13="record.age>17"),
    "DRG/MDCE_DRG.py": drgs(
        EB17="record.ssList and '34.0' in record.ssList", EB11=MCC, EB15="True", EC19="True", EJ19="True",
        ER10="record.inHospitalTime<5 and record.leavingType in ['2','5']", ER11="5<record.inHospitalTime<=30",
        ER12="record.inHospitalTime==1", ER13="True", ES17="record.dept=='ICU'", ES13=CC, ES14="False", ES15="True",
        EZ10="record.age<17", EZ11=MCC, EZ13=EITHER, EZ15="True",
    ),
    "DRG_EX/EB16.py": HEAD
    + "\ndef group(record):\n  adrg_zd=['J18']\n"
    + "  if True and record.zdList[0] in adrg_zd:\n    message('x')\n    return True\n",
    "DATA/MCC.dat": "J96 1\nA41 2\n",
    "DATA/CC.dat": "I10 1\nE11 2\nD64 9\n",
    "DATA/CCE.dat": "J96 1\nJ15 1\nJ18 2\n",
    "DATA/SS_VALID.dat": "31.1 x\n32.4 x\n34.0 x\n37.5 x\n60.2 x\n96.7 x\n",
    "DATA/DRG.dat": "AA19 心脏移植\nES15 肺炎，不伴并发症\nXX99 无规则的组\n",
    "ICD/ZD_INFO.dat": "J18 肺炎\nJ44 慢性阻塞性肺病\n",
    "ICD/SS_INFO.dat": "32.4 肺切除\n",
    "ICD/ZD_MAP.dat": "J18 J18\nJ18.9  J18\nJ99 -\n",
    "ICD/SS_MAP.dat": "32.40 32.4\n",
}  # fmt: skip


def write_region(parent: Path, **changed: str | None) -> Path:
    """Write the region under `parent`/drg_group.

    A file given by its name (with `__` and `_dot_` for `/` and `.`, where need be) replaces it, None leaves it out.
    """
    named = {name.replace("__", "/").replace("_dot_", "."): text for name, text in changed.items()}
    folder = parent / "drg_group" / REGION
    for name, text in {**FILES, **named}.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder
