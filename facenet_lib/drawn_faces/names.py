"""Names of people who do not exist."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facenet_lib.checks import check_integer
from facenet_lib.drawn_faces.mathematics import IndexArray
from facenet_lib.drawn_faces.seeds import NAME_SEED


def person_name(index: int, seed: int = 0) -> str:
    """Name a person who does not exist.

    Args:
        index: number of the person; different indices have different names.
        seed: seed of the order in which names are given out.

    Returns:
        Two or three parts joined by underscores, as in LFW; ASCII letters only. The first 6,912
        names have two parts, the other 158,976 a second given name between them.

    Raises:
        FacenetError: if ``index`` is negative or there are no more names.

    >>> person_name(0), person_name(6912)
    ('Kahu_Tuiasosopo', 'Boris_Irina_Zelenko')
    """
    short, long = _name_order(check_integer("seed", seed, at_least=0))
    index = check_integer("person", index, 0, short.size + long.size - 1)
    given_count, family_count = (len(part.split()) for part in _NAMES[0])
    if index < short.size:
        number, family = divmod(int(short[index]), family_count)
        region, first = divmod(number, given_count)
        middle = None
    else:
        number, family = divmod(int(long[index - short.size]), family_count)
        number, step = divmod(number, given_count - 1)
        region, first = divmod(number, given_count)
        middle = (first + 1 + step) % given_count
    given_names, family_names = (part.split() for part in _NAMES[region])
    parts = [given_names[first], *([] if middle is None else [given_names[middle]])]
    return "_".join([*parts, family_names[family]])


@lru_cache(maxsize=4)
def _name_order(seed: int) -> tuple[IndexArray, IndexArray]:
    """Random order of all names of two parts, and of all names of three."""
    given, family = (len(part.split()) for part in _NAMES[0])
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(NAME_SEED,)))
    short = generator.permutation(len(_NAMES) * given * family)
    long = generator.permutation(len(_NAMES) * given * (given - 1) * family)
    return short, long


# Given names and family names of one part of the world stand together, so that they fit.
_NAMES: tuple[tuple[str, str], ...] = (
    (
        "Adaeze Babajide Chinwe Damilola Ebele Folake Ifeanyi Kelechi Ngozi Obinna Temitope Zainab "
        "Amaka Bolanle Chidi Emeka Funmi Ikenna Nkechi Oluchi Segun Tunde Uche Yetunde",
        "Abiola Adeyemi Afolayan Akande Babatunde Balogun Chukwu Eze Ezenwa Ibekwe Igwe Lawal "
        "Madu Nwosu Obi Ogunleye Okafor Okeke Okonkwo Olawale Onyango Oyelaran Sanni Umeh",
    ),
    (
        "Akira Asuka Chiyo Daichi Emi Fumiko Haruka Hiroshi Isamu Kaori Kenji Mariko Naoki Noriko "
        "Rin Ryota Sachiko Satoru Takumi Tomoko Yasuo Yoko Yuji Yumiko",
        "Aoki Endo Fujita Hasegawa Hayashi Inoue Ishikawa Kato Kimura Kobayashi Maeda Matsuda "
        "Mori Nakamura Nishimura Ogawa Okada Saito Sasaki Shimizu Takagi Ueda Yamazaki Yoshida",
    ),
    (
        "Aarav Ananya Arjun Deepa Divya Farhan Gauri Ishaan Jaya Kavita Kiran Lakshmi Manish Meera "
        "Nikhil Pooja Priya Rahul Rohini Sanjay Shreya Sunil Uma Vikram",
        "Agarwal Banerjee Bhatt Chatterjee Chopra Das Deshpande Ghosh Gupta Iyer Jain Joshi "
        "Kapoor Kulkarni Menon Mishra Nair Patel Pillai Rao Reddy Sharma Trivedi Verma",
    ),
    (
        "Alejandra Beatriz Camilo Catalina Diego Elena Esteban Felipe Gabriela Ignacio Isabel "
        "Javier Lucia Marisol Mateo Natalia Pablo Paloma Rafael Rocio Santiago Sofia Valeria "
        "Ximena",
        "Aguilar Bravo Campos Castillo Delgado Escobar Fuentes Guerrero Herrera Ibarra Jimenez "
        "Lozano Maldonado Navarro Ortega Paredes Quintana Rojas Salazar Solis Trujillo Vargas "
        "Vega Zamora",
    ),
    (
        "Adam Alice Arthur Clara Daniel Edith Eleanor Frank George Hannah Harold Irene Jack "
        "Judith Laura Martin Nora Oliver Patrick Rose Samuel Stella Walter Winifred",
        "Ashworth Barker Bramley Carter Chadwick Dawson Ellison Fletcher Gardner Hargreaves "
        "Holloway Kendrick Lambert Marlowe Nightingale Pemberton Radcliffe Sheridan Thornton "
        "Underhill Wainwright Westbrook Whitaker Yardley",
    ),
    (
        "Anke Annika Bastian Birgit Dieter Elke Ernst Frieda Gerda Hannes Heike Ingrid Jonas "
        "Jutta Klaus Lars Lotte Mathias Monika Nils Petra Rolf Silke Uwe",
        "Albrecht Bachmann Brandt Dietrich Ebert Falk Gerber Hartmann Hoffmann Jansen Keller "
        "Kruger Lehmann Lindqvist Nilsson Pohl Reinhardt Schreiber Sommer Steiner Vogel Wagner "
        "Winkler Ziegler",
    ),
    (
        "Aleksei Anastasia Bogdan Boris Darya Dmitri Ekaterina Galina Igor Irina Jaroslav Katya "
        "Ksenia Lev Ludmila Maksim Milena Nadia Oleg Pavel Stanislav Svetlana Tatiana Yuri",
        "Antonov Baran Belov Cerny Dvorak Fedorenko Gorski Horak Ivanenko Jelinek Kovac Kozlov "
        "Lebedenko Marek Melnik Novotny Orlov Petrenko Sokolov Stepanek Tarasenko Volkov Zelenko "
        "Zielinski",
    ),
    (
        "Amina Bilal Dalia Faisal Fatima Habib Hala Hassan Idris Jamila Karim Khadija Laila "
        "Mahmoud Mariam Mustafa Nabil Nadira Omar Rania Salma Tariq Yasmin Zaki",
        "Abbas Amari Aziz Badawi Darwish Fadel Farouk Ghanem Haddad Hamdan Jabari Khalil Khoury "
        "Mansour Masri Nasser Qasim Rahal Saleh Shadid Sultan Tahan Yousef Zaman",
    ),
    (
        "Baozhu Chunhua Dawei Fang Guolan Haoran Hongmei Jianguo Jiayi Jing Lanfen Liwei Meiling "
        "Ping Qiang Ruolan Shufen Tao Weimin Xiaoming Xiuying Yanping Yifan Zhihao",
        "Bai Cao Chang Deng Ding Fan Feng Gao Guo Hu Jiang Kong Liang Lin Luo Meng Pan Qian Shen "
        "Tang Wei Xie Yuan Zheng",
    ),
    (
        "Aurelie Baptiste Camille Chloe Colette Denis Elodie Emile Fabrice Gaston Genevieve Henri "
        "Jeanne Lucien Margaux Mireille Noemie Odette Pascal Remi Sabine Thierry Yves Zoe",
        "Aubert Beaumont Blanchard Bonnet Chevalier Delacroix Dubois Fontaine Gauthier Girard "
        "Lacroix Lefebvre Marchand Mercier Moreau Perrin Poirier Renaud Rousseau Roux Serrault "
        "Tessier Vasseur Vidal",
    ),
    (
        "Agustina Andi Bayu Cahya Dewi Eko Farida Gemala Hartono Indah Joko Kadek Lestari Made "
        "Ningsih Putri Rangga Ratna Sari Surya Tuti Wayan Wulan Yudha",
        "Anggraini Budiman Darmawan Fauzi Gunawan Halim Hidayat Iskandar Kartika Kusuma Lubis "
        "Mahendra Nugroho Permana Prasetyo Rahardjo Santoso Setiawan Siregar Suharto Tanoto "
        "Utami Wibowo Yulianto",
    ),
    (
        "Aiyana Ataahua Hemi Hinemoa Kahu Kaia Leilani Losa Makoa Malia Mele Moana Nikau Pania "
        "Rangi Sefa Sione Tama Tavita Tevita Tiare Vaea Waimarie Wiremu",
        "Alofa Faleolo Fonoti Halapua Havili Kahale Kalani Kamaka Keawe Latu Leota Mahuta "
        "Manukau Ngata Parata Paea Rewiti Samoa Taufa Tawhiri Tuiasosopo Tuilagi Vaitai Wihongi",
    ),
)
